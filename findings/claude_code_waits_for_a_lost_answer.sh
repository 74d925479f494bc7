#!/usr/bin/env bash
# @anthropic-ai/claude-code 2.1.332 (npm), `claude -p`, an MCP server over Streamable HTTP, protocol 2026-07-28.
#
# The connection that carries a call's answer ends before the answer: the server's process was killed, say. The protocol
# has no resumption of such a stream any more, so nothing can follow; yet the call is not failed. The host waits until
# its bound on silence, CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT, which is 5 minutes over HTTP, and only then tells the model.
# Here the bound is 25 s, and the script sees that the model is told only after it, "sent no response or progress".
#
# Needs npm with its registry, python3, half a minute, and no account: the model is a stub on loopback. Ends with 0 while
# this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . @anthropic-ai/claude-code@2.1.332 >&2
cat > probe.py <<'PYTHON'
import http.server, json, os, pathlib, subprocess, threading, time

IDLE = 25
ended = None  # when the call's connection ended
shown = []  # (when, what the model was shown of the call)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.document({})

    do_GET = do_HEAD

    def document(self, document, kind="application/json"):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        (self.mcp if self.path == "/mcp" else self.model)(request)

    def mcp(self, request):
        global ended
        about = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        method = request["method"]
        if method == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "probe", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [{"name": "wait", "description": "Waits.", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            # As a killed process leaves it: no last chunk, no answer.
            self.close_connection = True
            ended = time.monotonic()
            return
        else:
            error = {"code": -32601, "message": method}
            return self.document({"jsonrpc": "2.0", "id": request.get("id"), "error": error})
        self.document({"jsonrpc": "2.0", "id": request["id"], "result": {**about, **result}})

    def model(self, request):
        if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
            return self.document({"input_tokens": 1})
        results = [b for m in request["messages"] if isinstance(m["content"], list)
                   for b in m["content"] if b["type"] == "tool_result"]
        if results:
            shown.append((time.monotonic(), json.dumps(results)))
        calls = request.get("tools") and not results
        block = {"type": "tool_use", "id": "toolu_1", "name": "mcp__probe__wait", "input": {}} if calls \
            else {"type": "text", "text": ""}
        delta = {"type": "input_json_delta", "partial_json": "{}"} if calls else {"type": "text_delta", "text": "done"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        events = [
            {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "stub",
                                                  "content": [], "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
        text = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
        self.document(text.encode(), "text/event-stream")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
servers = json.dumps({"mcpServers": {"probe": {"type": "http", "url": f"{url}/mcp"}}})
home = str(pathlib.Path.cwd())
env = {"PATH": os.environ["PATH"], "HOME": home, "CLAUDE_CONFIG_DIR": home, "ANTHROPIC_BASE_URL": url,
       "ANTHROPIC_API_KEY": "dummy", "ANTHROPIC_MODEL": "stub", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
       "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": str(IDLE * 1000)}
words = ["node_modules/.bin/claude", "-p", "--permission-mode", "default", "--allowedTools", "mcp__probe",
         "--strict-mcp-config", "--mcp-config", servers, "--", "wait"]
subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180, check=True)
assert ended, "the tool was not called"
when, what = shown[0]
print(f"the connection of the call ended; {when - ended:.0f} s later the model was shown: {what[:200]}")
raise SystemExit(when - ended < IDLE - 1)
PYTHON
python3 probe.py
echo "as described: a lost answer is waited for"
