"""A model's endpoint on loopback, which does what its prompt says and keeps what it is sent.

It speaks as much of Anthropic's Messages and of OpenAI's Responses as hosts use, always streaming. A prompt is
`script: ` and a JSON list of calls `[name, arguments]`; the model makes them one by one and then says `done`. In the
arguments `$TASK` stands for the first task that an earlier answer named.
"""

import http.server
import itertools
import json
import re
import threading

# No test holds an answer longer.
ANSWER_SECONDS = 120
SCRIPT = re.compile(r"script: (\[.*\])", re.S)
TASK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Model(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        # Of answers: hosts take two with one id for the same.
        self.numbers = itertools.count(1)
        self.news = threading.Condition(threading.RLock())
        # While it is cleared, the model thinks about what a call answered.
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep(self, request):
        with self.news:
            self.requests.append(request)
            self.news.notify_all()

    def forget(self):
        with self.news:
            self.requests.clear()

    def shown(self):
        """What it was shown since the last script, of all requests: results of calls, and texts that no person wrote."""
        with self.news:
            texts = [text for request in self.requests for text in after_script(entries(request))]
        return list(dict.fromkeys(texts))

    def wait(self, true, what, seconds=60):
        """Awaits that `true` holds for one text that it was shown; gives that text."""
        def there():
            return next((text for text in self.shown() if true(text)), None)
        with self.news:
            found = self.news.wait_for(there, seconds)
        assert found, f"the model is not shown {what}, but {self.shown()}"
        return found


def entries(request):
    """The conversation as (kind, text): `user`, `call` or `result`."""
    for item in request.get("messages", []):
        content = item["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "text" and item["role"] == "user":
                yield "user", block["text"]
            elif block["type"] == "tool_use":
                yield "call", json.dumps([block["name"], block["input"]])
            elif block["type"] == "tool_result":
                yield "result", text_of(block.get("content", ""))
    for item in request.get("input", []):
        if item["type"] == "message" and item["role"] == "user":
            yield "user", text_of(item["content"])
        elif item["type"] in ("function_call", "custom_tool_call"):
            yield "call", json.dumps([item["name"], item.get("arguments", item.get("input"))])
        elif item["type"] in ("function_call_output", "custom_tool_call_output"):
            yield "result", text_of(item["output"])


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text") or json.dumps(block) for block in content)


def script_at(there):
    return max((at for at, (kind, text) in enumerate(there) if kind == "user" and SCRIPT.search(text)), default=None)


def after_script(there):
    there = list(there)
    at = script_at(there)
    return [] if at is None else [text for kind, text in there[at + 1:] if kind != "call"]


def next_call(request):
    """The call that comes next, or None at the end of the script."""
    there = list(entries(request))
    at = script_at(there)
    if at is None:
        return None
    calls = json.loads(SCRIPT.search(there[at][1])[1])
    made = sum(kind == "call" for kind, _ in there[at:])
    if made >= len(calls):
        return None
    task = next((found[0] for kind, text in there if kind == "result" and (found := TASK.search(text))), "no task")
    name, arguments = calls[made]
    return name, json.loads(json.dumps(arguments).replace("$TASK", task))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = ANSWER_SECONDS

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(200, {})

    def do_GET(self):
        self.answer(200, {"data": [], "models": [], "object": "list"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            return self.answer(200, {"input_tokens": 10})
        events = {"/v1/messages": messages, "/v1/responses": responses}.get(path)
        if events is None:
            return self.answer(404, {"error": {"type": "not_found_error", "message": path}})
        request = json.loads(body)
        self.server.keep(request)
        if after_script(entries(request)):
            self.server.may_go_on.wait(ANSWER_SECONDS)
        # A host's own questions, such as for a title, come without the tools.
        call = next_call(request) if request.get("tools") else None
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        number = next(self.server.numbers)
        for event in events(call, number):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.close_connection = True

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def messages(call, number):
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
               "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    if call:
        name, arguments = call
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    else:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": "done"}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    reason = "tool_use" if call else "end_turn"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
           "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


def responses(call, number):
    identity = f"resp_{number}"
    yield {"type": "response.created", "response": {"id": identity}}
    if call:
        name, arguments = call
        namespace, _, tool = name.rpartition("/")
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": tool,
                "arguments": json.dumps(arguments)}
        if namespace:
            item["namespace"] = namespace
    else:
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant",
                "content": [{"type": "output_text", "text": "done", "annotations": []}]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}
    yield {"type": "response.completed", "response": {"id": identity, "usage": usage}}
