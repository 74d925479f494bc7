"""A scripted model behind an OpenAI-compatible endpoint on loopback. It records what it is sent."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scenarios import SCENARIOS, TASK, Turn

TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STILL_RUNNING = re.compile("still running", re.IGNORECASE)
NO_TASK = "I was shown no id of a task."
DONE = "Done."


class Model:
    """One endpoint for each scenario, at `/SCENARIO/v1`: what it answers follows from the conversation alone."""

    def __init__(self, restart: Callable[[], None]) -> None:
        self.restart = restart
        # By scenario: the conversation as it was sent last, and the tools with it.
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.tools: dict[str, list[dict[str, Any]]] = {}
        self._killed: set[str] = set()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                scenario = self.path.split("/")[1]
                message = model.answer(scenario, request)
                self.send_response(200)
                if request.get("stream"):
                    body, kind = streamed(message), "text/event-stream"
                else:
                    body, kind = json.dumps(completion(message)).encode(), "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, scenario: str, request: dict[str, Any]) -> dict[str, Any]:
        messages = request["messages"]
        self.messages[scenario] = messages
        self.tools[scenario] = request.get("tools", [])
        turn = next_turn(SCENARIOS[scenario].turns, messages)
        if turn is None:
            return {"role": "assistant", "content": DONE}
        if turn.after_kill and scenario not in self._killed:
            self._killed.add(scenario)
            self.restart()
        return call_of(turn, messages)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def next_turn(turns: tuple[Turn, ...], messages: list[dict[str, Any]]) -> Turn | None:
    """The script's next turn after what the conversation has of it already."""
    made = [call for message in messages for call in message.get("tool_calls") or ()]
    at = 0
    for index, call in enumerate(made):
        again = at > 0 and call["function"]["name"] == made[index - 1]["function"]["name"]
        at += not (again and turns[at - 1].until_ended)
    if at > 0 and turns[at - 1].until_ended and STILL_RUNNING.search(last_shown(messages)):
        return turns[at - 1]
    return turns[at] if at < len(turns) else None


def call_of(turn: Turn, messages: list[dict[str, Any]]) -> dict[str, Any]:
    arguments = dict(turn.arguments)
    if arguments.get("task_id") == TASK:
        shown = TASK_ID.search(last_shown(messages))
        if shown is None:
            return {"role": "assistant", "content": NO_TASK}
        arguments["task_id"] = shown.group()
    count = sum(len(message.get("tool_calls") or ()) for message in messages)
    function = {"name": turn.tool, "arguments": json.dumps(arguments)}
    call = {"id": f"call_{count + 1}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def last_shown(messages: list[dict[str, Any]]) -> str:
    shown = [message["content"] for message in messages if message["role"] == "tool"]
    return json.dumps(shown[-1]) if shown else ""


def completion(message: dict[str, Any]) -> dict[str, Any]:
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {**heading("chat.completion"), "choices": [choice], "usage": usage}


def streamed(message: dict[str, Any]) -> bytes:
    calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls") or ())]
    delta = {**message, "tool_calls": calls} if calls else message
    reason = "tool_calls" if calls else "stop"
    head = heading("chat.completion.chunk")
    events = [
        {**head, "choices": [choice]}
        for choice in (
            {"index": 0, "delta": delta, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": reason},
        )
    ]
    return "".join(f"data: {text}\n\n" for text in (*map(json.dumps, events), "[DONE]")).encode()


ANSWERS = itertools.count(1)


def heading(kind: str) -> dict[str, Any]:
    # Some take two answers of one id for one.
    return {"id": f"chatcmpl-{next(ANSWERS)}", "object": kind, "created": 1, "model": "gpt-4o"}
