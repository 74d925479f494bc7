"""Calls Longhaul's tools through proxies, each with a kill of the server between two calls. Run by `run`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import anyio
import mcp
from longhaul_server import Server, environment, person_environment
from mcp import types
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

# Nothing here takes a tenth of it.
PROXY_SECONDS = 240
TEXT = "a b c"
WORDS = 3
BOOK = {"topic": "tides", "chapters": 2, "pause_ms": 100}
WRITTEN = "Wrote 2 chapters on tides"
QUESTION = "A trip to Rome is estimated at $1200. Book it?"
BOOKED = "Booked a trip to Rome"


@dataclass(frozen=True)
class Proxy:
    """What is typed after its name, and what it passes on."""

    words: tuple[str, ...]
    progress: bool
    questions: bool
    cancelled: bool


STDIO = {
    "mcp-proxy": Proxy(("--transport", "streamablehttp", "URL"), progress=True, questions=False, cancelled=False),
    "fastmcp": Proxy(("run", "URL", "--no-banner"), progress=True, questions=True, cancelled=False),
    "mcp-remote": Proxy(
        ("URL", "--allow-http", "--transport", "http-only"), progress=True, questions=True, cancelled=True
    ),
    "supergateway": Proxy(("--streamableHttp", "URL"), progress=False, questions=False, cancelled=True),
}


@dataclass
class Caller:
    """A client with everything that a proxy may pass on, and what came."""

    session: mcp.ClientSession
    questions: list[str] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        async def on_progress(done: float, _total: float | None, _message: str | None) -> None:
            self.progress.append(done)

        result = await self.session.call_tool(tool, arguments, progress_callback=on_progress)
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)


@asynccontextmanager
async def behind(command: list[str], log: Path) -> AsyncIterator[Caller]:
    async def on_question(_context: Any, asked: types.ElicitRequestParams) -> types.ElicitResult:
        caller.questions.append(asked.message)
        return types.ElicitResult(action="accept", content={"confirm": True, "notes": "window"})

    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    closes, failure = False, None
    try:
        with log.open("w") as errors:
            async with (
                stdio_client(parameters, errlog=errors) as (read, write),
                mcp.ClientSession(read, write, elicitation_callback=on_question) as session,
            ):
                caller = Caller(session)
                await session.initialize()
                try:
                    yield caller
                    closes = True
                except Exception as error:
                    failure = error
                    raise
    except BaseExceptionGroup as group:
        # The client dies of a notification that comes while it closes, which hides why it closes.
        if failure:
            raise failure from None
        if not closes or group.split(anyio.BrokenResourceError)[1]:
            raise


async def directly(server: Server, tool: str, /, **arguments: Any) -> dict[str, Any]:
    async with streamable_http_client(server.url) as (read, write, _), mcp.ClientSession(read, write) as session:
        await session.initialize()
        return await Caller(session).call(tool, **arguments)


async def through_stdio(server: Server, proxy: Proxy, program: str, log: Path) -> None:
    command = [program, *(server.url if word == "URL" else word for word in proxy.words)]
    async with behind(command, log) as caller:
        inline = await caller.call("analyze", text=TEXT)
        assert inline["structuredContent"] == (await directly(server, "analyze", text=TEXT))["structuredContent"]
        assert inline["structuredContent"]["words"] == WORDS

        link = await caller.call("book_agent", **BOOK)
        task = link["structuredContent"]["task_id"]
        assert [block["uri"] for block in link["content"] if block["type"] == "resource_link"] == [f"task://{task}"]
        assert any("task_wait" in block.get("text", "") for block in link["content"]), link
        server.kill()
        server.start()
        assert WRITTEN in words(await ended(caller, task))

        caller.progress.clear()
        steps = await caller.call("long_running_agent", steps=2, step_ms=200)
        assert steps["structuredContent"] == {"steps": 2}
        assert bool(caller.progress) == proxy.progress, caller.progress

        trip = await caller.call("travel_agent", destination="Rome")
        if proxy.questions:
            assert len(caller.questions) == 1 and QUESTION in caller.questions[0], caller.questions
        else:
            # A person reads it in the text, and answers with the command line.
            assert not caller.questions and QUESTION in words(trip), trip
            task = trip["structuredContent"]["task_id"]
            answer(server, task)
            trip = await ended(caller, task)
        assert BOOKED in words(trip), trip

        if proxy.cancelled and proxy.progress:
            await give_up(server, caller)


async def give_up(server: Server, caller: Caller) -> None:
    """A host cancels by a notification with the request's id, once the call has shown that it runs."""
    runs = asyncio.Event()

    async def on_progress(*_: Any) -> None:
        runs.set()

    request = caller.session._request_id
    call = caller.session.call_tool("long_running_agent", {"steps": 1000}, progress_callback=on_progress)
    calling = asyncio.create_task(call)
    await runs.wait()
    listed = await directly(server, "task_list", tool="long_running_agent")
    [task] = [task["id"] for task in listed["structuredContent"]["tasks"] if task["state"] != "completed"]
    cancelled = types.CancelledNotificationParams(requestId=request, reason="given up")
    notification = types.CancelledNotification(method="notifications/cancelled", params=cancelled)
    await caller.session.send_notification(types.ClientNotification(notification))
    status = await directly(server, "task_wait", task_id=task)
    assert status["structuredContent"]["state"] == "cancelled", status
    calling.cancel()


async def ended(caller: Caller, task: str) -> dict[str, Any]:
    """A proxy may notice with a call that the connection is a dead server's, and make another one with the next."""
    for _ in range(3):
        shown = await caller.call("task_wait", task_id=task)
        if shown.get("structuredContent", {}).get("state") == "completed":
            break
    return shown


def through_http(server: Server, program: str, log: Path) -> None:
    """mcpo: every tool a path, what it answers made of the texts."""
    port = free_port()
    # It drops link blocks and structured content: a second text says the same.
    address = f"{server.url}?links=text"
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--type", "streamable-http", "--", address]
    with log.open("w") as output, running(command, output) as proxy:
        listening(port, proxy)

        def call(tool: str, **arguments: Any) -> Any:
            return post(f"http://127.0.0.1:{port}/{tool}", arguments)

        assert call("analyze", text=TEXT)["words"] == WORDS
        sentence, link = call("book_agent", **BOOK)
        assert "task_wait" in sentence and link["task_id"] in sentence, sentence
        server.kill()
        server.start()
        assert WRITTEN in json.dumps(retried(lambda: call("task_wait", task_id=link["task_id"])))

        asked = call("travel_agent", destination="Rome")
        assert QUESTION in json.dumps(asked), asked
        answer(server, asked[1]["task_id"])
        assert BOOKED in json.dumps(call("task_wait", task_id=asked[1]["task_id"]))


def retried(call: Callable[[], Any]) -> Any:
    for _ in range(2):
        try:
            return call()
        except urllib.error.HTTPError:
            pass
    return call()


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PROXY_SECONDS) as response:
        return json.load(response)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port: int, proxy: subprocess.Popen[bytes]) -> None:
    """It says nowhere that it listens: its port is tried, for as long as it runs and `PROXY_SECONDS` at most."""
    for _ in range(PROXY_SECONDS * 10):
        if proxy.poll() is not None:
            raise RuntimeError(f"it ended with {proxy.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            proxy.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    raise RuntimeError("it does not listen")


@contextmanager
def running(command: list[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answer(server: Server, task: str) -> None:
    command = [server.binary, "task", "answer", task, "confirm=true", "--data", server.folder / "data"]
    leave = person_environment(server.folder)
    subprocess.run(command, env=leave, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def words(result: dict[str, Any]) -> str:
    return "\n".join(block.get("text", "") for block in result["content"])


def main() -> int:
    binary, tools, scratch, *programs = sys.argv[1:]
    folder = Path(scratch)
    # For tools that are no workspace, whose manifests grant nothing.
    config = Path(environment(folder)["XDG_CONFIG_HOME"]) / "longhaul" / "longhaul.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[grants.travel_agent]\nelicit = true\n")
    server = Server(Path(binary), Path(tools), folder)
    server.start()
    counts = {True: 0, False: 0}
    for name, program in (one.split("=", 1) for one in programs):
        log = folder / f"{name}.log"
        try:
            if name in STDIO:
                asyncio.run(asyncio.wait_for(through_stdio(server, STDIO[name], program, log), PROXY_SECONDS))
            else:
                through_http(server, program, log)
            print(f"{name}: ok", flush=True)
            counts[True] += 1
        except Exception:
            traceback.print_exc()
            print(f"{name}: FAILED\n{log.read_text(errors='replace')[-4000:]}", flush=True)
            counts[False] += 1
    server.stop()
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] or not counts[True] else 0


sys.exit(main())
