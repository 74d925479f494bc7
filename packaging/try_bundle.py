"""Starts what the manifest of an unpacked .mcpb says, as a host does, and speaks MCP to it: a task begins, its server is
killed, and the task ends all the same."""

import json
import os
import pathlib
import signal
import subprocess
import sys

STEPS, STEP_MS = 12, 250
ENDED = ("completed", "failed", "cancelled")


class Host:
    """A host of the bundle, with one connection over stdio."""

    def __init__(self, folder):
        config = json.loads((folder / "manifest.json").read_text())["server"]["mcp_config"]
        fill = lambda text: text.replace("${__dirname}", str(folder))
        words = [fill(word) for word in [config["command"], *config["args"]]]
        env = {**os.environ, **{name: fill(value) for name, value in config.get("env", {}).items()}}
        self.server = subprocess.Popen(words, env=env, cwd="/", text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last = 0

    def send(self, method, **params):
        self.server.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}) + "\n")
        self.server.stdin.flush()

    def ask(self, method, **params):
        self.last += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params})
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()
        for line in self.server.stdout:
            message = json.loads(line)
            if message.get("id") == self.last and "method" not in message:
                assert "result" in message, message
                return message["result"]
        raise SystemExit("the server ended")

    def call(self, tool, meta=None, **arguments):
        result = self.ask("tools/call", name=tool, arguments=arguments, _meta=meta or {})
        assert not result.get("isError"), result
        return result["structuredContent"]


def server_pid():
    found = pathlib.Path.home() / ".local/share/longhaul/server.json"
    return json.loads(found.read_text())["pid"]


def main():
    host = Host(pathlib.Path(sys.argv[1]).resolve())
    client = {"name": "try", "version": "1"}
    host.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
    host.send("notifications/initialized")
    link = {"longhaul/reply": "link"}
    task = host.call("long_running_agent", link, steps=STEPS, step_ms=STEP_MS)["task_id"]
    status = host.call("task_wait", task_id=task, seconds=1)
    assert status["state"] not in ENDED, status
    first = server_pid()
    os.kill(first, signal.SIGKILL)
    while status["state"] not in ENDED:
        status = host.call("task_wait", task_id=task)
    assert status["state"] == "completed" and server_pid() != first, status
    tools = {tool["name"] for tool in host.ask("tools/list")["tools"]}
    assert "long_running_agent" in tools, tools
    host.server.stdin.close()
    assert host.server.wait(10) == 0
    os.kill(server_pid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
