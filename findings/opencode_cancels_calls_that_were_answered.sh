#!/usr/bin/env bash
# opencode-ai 1.18.33 (npm), a remote MCP server.
#
# After the answer of every `tools/call` has come, and before the next call, the host sends `notifications/cancelled`
# with that request's id and the reason "AbortError: The operation was aborted." The specification has cancellations
# only of requests that are believed to be in progress. A server that keeps answered calls, to let clients come back to
# them or since their work goes on, must not take it for a wish to end that work.
#
# Seen: two calls, each answered at once, each cancelled after its answer.
#
# Needs npm, python3 and a network to npm's registry (150 MB). Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes > /dev/null
npm install --silent --no-audit --no-fund opencode-ai@1.18.33
mkdir project home
cat > probe.py <<'PYTHON'
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

events, calls = [], []
SCRIPT = ["probe_work", "probe_work", None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, kind="application/json", body=b""):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(405)

    do_DELETE = do_GET

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/mcp":
            self.mcp(message)
        else:
            self.model(message)

    def mcp(self, message):
        method = message.get("method")
        if "id" not in message:
            if method == "notifications/cancelled":
                events.append(("cancelled", message["params"]["requestId"]))
            return self.send(202)
        tool = {"name": "work", "inputSchema": {"type": "object"}}
        result = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "probe", "version": "1"},
            },
            "tools/list": {"tools": [tool]},
            "tools/call": {"content": [{"type": "text", "text": "worked"}]},
        }.get(method)
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        answer |= {"result": result} if result else {"error": {"code": -32601, "message": "unknown"}}
        self.send(200, body=json.dumps(answer).encode())
        if method == "tools/call":
            events.append(("answered", message["id"]))

    def model(self, message):
        """A model that calls the tool twice and is done; without tools it names the conversation."""
        delta, end = {"role": "assistant", "content": "done"}, "stop"
        if message.get("tools"):
            name = SCRIPT[min(len(calls), 2)]
            calls.append(name)
            if name:
                function = {"name": name, "arguments": "{}"}
                call = {"index": 0, "id": f"call_{len(calls)}", "type": "function", "function": function}
                delta, end = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        chunks = [{"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": end}]
        lines = [{"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, **chunk}]} for chunk in chunks]
        body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
        self.send(200, "text/event-stream", body.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
model = {
    "npm": "@ai-sdk/openai-compatible",
    "options": {"baseURL": f"{base}/v1", "apiKey": "none"},
    "models": {"stub": {"name": "stub"}},
}
config = {
    "autoupdate": False,
    "share": "disabled",
    "model": "stub/stub",
    "small_model": "stub/stub",
    "provider": {"stub": model},
    "mcp": {"probe": {"type": "remote", "url": f"{base}/mcp", "enabled": True}},
}
Path("project/opencode.json").write_text(json.dumps(config))
environment = {"PATH": os.environ["PATH"], "HOME": f"{os.getcwd()}/home", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
subprocess.run(
    [f"{os.getcwd()}/node_modules/.bin/opencode", "run", "go"],
    cwd="project",
    env=environment,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    timeout=120,
    check=True,
)
print(*(what for what, _ in events))
ids = [one for _, one in events]
raise SystemExit(not (ids[0::2] == ids[1::2] and len(set(ids)) == 2))
PYTHON
seen=$(python3 probe.py) || { printf '%s\nnot as described any more\n' "$seen"; exit 1; }
printf '%s\n' "$seen"
[ "$seen" = "answered cancelled answered cancelled" ] || { echo "not as described any more"; exit 1; }
echo "as described: each call is cancelled after its answer"
