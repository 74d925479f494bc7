"""A server of the build that makes a store, and a bare client of it. Nothing but Python's own library."""

import json
import os
import signal
import struct
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from situations import answer_text

VERSION = "2026-07-28"
SESSION_VERSION = "2025-11-25"
PATIENCE = 60


def until(what, look):
    """Looks again and again: a store is made by hand, and seldom."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise SystemExit(f"it never came to that: {what() if callable(what) else what}")


class Server:
    """`longhaul serve` of that build."""

    def __init__(self, binary, data, tools, environment={}):
        self.binary, self.data = binary, data
        # No configuration of the machine's owner.
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(data), "NO_PROXY": "*", "no_proxy": "*"}
        environment = {**self.environment, **environment}
        words = [binary, "serve", "--http", "127.0.0.1:0", "--json", "--trust", "--data", data, "--tools", tools]
        self.child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.url = json.loads(self.child.stdout.readline())["url"]

    def longhaul(self, *words):
        done = subprocess.run([self.binary, *words, "--json", "--data", self.data], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{words}: {done.stderr}")
        return json.loads(done.stdout)

    def end(self, how):
        self.child.send_signal(how)
        self.child.wait()

    def died(self):
        """By itself, as SIGKILL does it."""
        if self.child.wait(PATIENCE) != -signal.SIGKILL:
            raise SystemExit(f"it ended with {self.child.returncode}")

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end(signal.SIGTERM)

    def request(self, method, name, params):
        meta = params.setdefault("_meta", {})
        meta["io.modelcontextprotocol/protocolVersion"] = VERSION
        meta["io.modelcontextprotocol/clientCapabilities"] = {}
        meta["io.modelcontextprotocol/clientInfo"] = {"name": "corpus", "version": "1"}
        headers = {"mcp-protocol-version": VERSION, "mcp-method": method, **({"mcp-name": name} if name else {})}
        with post(self.url, headers, {"id": 1, "method": method, "params": params}) as answer:
            for message in messages(answer):
                if "result" in message:
                    return message["result"]
                if "error" in message:
                    raise SystemExit(f"{method} {name}: {message['error']}")
        raise SystemExit(f"{method} {name}: no answer")

    def call(self, tool, arguments, **meta):
        result = self.request("tools/call", tool, {"name": tool, "arguments": arguments, "_meta": meta})
        if result.get("isError"):
            raise SystemExit(f"{tool}: {result}")
        return result.get("structuredContent")

    def start(self, situation):
        meta = {"longhaul/reply": "link", "longhaul/idempotency-key": situation["key"]}
        return self.call(situation["tool"], situation["arguments"], **meta)["task_id"]

    def read(self, uri):
        return self.request("resources/read", uri, {"uri": uri})["contents"][0]["text"]

    def task(self, id):
        return json.loads(self.read(f"task://{id}"))

    def tasks(self, **query):
        found, cursor = [], {}
        while True:
            page = self.call("task_list", {**query, **cursor, "limit": 100})
            found += page["tasks"]
            if not page.get("next_cursor"):
                return found
            cursor = {"cursor": page["next_cursor"]}


class Killer:
    """A server that has it loaded dies at a chosen call of the system."""

    CALLS = {"write": 1, "before a sync": 2, "behind a sync": 3, "connect": 4}

    def __init__(self, folder):
        self.library, self.plan = folder / "killer.so", folder / "plan"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, Path(__file__).with_name("killer.c"), "-ldl"], check=True)
        self.disarm()

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "KILL_PLAN": str(self.plan)}

    def disarm(self):
        self.plan.write_bytes(bytes(16))

    def arm(self, call, number=1):
        """It dies at the call of that number from now on. In place: the server has mapped the file."""
        with self.plan.open("r+b") as plan:
            plan.write(struct.pack("<qq", self.CALLS[call], number))


class Session:
    """A client of 2025-11-25 that waits for the end of its call, and reads the stream until the server is gone."""

    def __init__(self, url):
        self.url, self.last_event = url, None
        client = {"protocolVersion": SESSION_VERSION, "capabilities": {}, "clientInfo": {"name": "corpus", "version": "1"}}
        with post(url, {}, {"id": 0, "method": "initialize", "params": client}) as answer:
            self.headers = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": SESSION_VERSION}
            answer.read()
        post(url, self.headers, {"method": "notifications/initialized"}).close()

    def call(self, params):
        self.seen = []
        self.stream = post(self.url, self.headers, {"id": 1, "method": "tools/call", "params": params})
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        try:
            for line in self.stream:
                if line.startswith(b"id:"):
                    self.last_event = line[3:].strip().decode()
                elif line.startswith(b"data:") and line[5:].strip():
                    self.seen.append(json.loads(line[5:]))
        except (OSError, ValueError):
            # The server was killed.
            pass


def post(url, headers, message):
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, body, headers), timeout=PATIENCE)


def messages(answer):
    for line in answer.read().decode().splitlines():
        data = line.removeprefix("data:").strip()
        if data.startswith("{"):
            yield json.loads(data)


class Web(ThreadingHTTPServer):
    """Answers as the test's web server does, but not where a path begins with `/held`: such a request is under way when
    the store is frozen."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host, port):
        self.asked = []
        self.before_answer = lambda path: None
        super().__init__((host, port), Held)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Held(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.server.asked.append(self.path)
        if self.path.startswith("/held"):
            threading.Event().wait()
        self.server.before_answer(self.path)
        text = answer_text(self.command, self.path, body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *words):
        pass
