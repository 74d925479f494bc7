"""What Claude Code and Codex show their model of Longhaul's tasks. See `run`."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from model import Model
from terminal import Terminal

KEY = "dummy"
BINARY, TOOLS, CLAUDE, CODEX, SCRATCH = sys.argv[1:]
HOME = pathlib.Path(SCRATCH)
WORK = HOME / "work"
CONFIG = HOME / "operator.toml"
HOST_SECONDS = 120
# By itself it would ask the model about each call.
MANUAL = ("--permission-mode", "default", "--allowedTools", "mcp__longhaul")

model = Model()
env = {
    "PATH": os.environ["PATH"], "HOME": str(HOME), "LANG": "C.UTF-8", "TERM": "xterm-256color",
    "CLAUDE_CONFIG_DIR": str(HOME / "claude"), "ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": KEY,
    "ANTHROPIC_MODEL": "stub", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
    "CODEX_HOME": str(HOME / "codex"), "STUB_KEY": KEY,
}
# Tools of TOOLS may have to be built.
for name in ("CARGO_HOME", "RUSTUP_HOME", "LONGHAUL_GUEST_TARGET_DIR"):
    if name in os.environ:
        env[name] = os.environ[name]
    elif name != "LONGHAUL_GUEST_TARGET_DIR":
        env[name] = os.path.expanduser(f"~/.{name.split('_')[0].lower()}")


def call(host, tool, **arguments):
    return [("mcp__longhaul__" if host == "claude" else "mcp__longhaul/") + tool, arguments]


def script(*calls):
    return "script: " + json.dumps(calls, separators=(",", ":"))


class Server:
    """One data folder and its server: over HTTP run by us, over stdio by whichever host comes first."""

    def __init__(self, over):
        self.over = over
        self.data = HOME / f"data-{over}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def start(self):
        if self.over == "http":
            with open(HOME / "server.log", "ab") as log:
                words = [BINARY, "serve", "--config", CONFIG, "--tools", TOOLS, "--data", self.data, "--http", self.address]
                self.process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.wait()

    def wait(self):
        host, port = self.address.split(":")
        for _ in range(6000):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            assert self.process.poll() is None, (HOME / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not listen")

    def pid(self):
        return json.loads((self.data / "server.json").read_text())["pid"]

    def end(self, how):
        os.kill(self.pid(), how)
        if self.over == "http":
            self.process.wait(30)

    def kill(self):
        self.end(signal.SIGKILL)
        self.start()

    def install(self, client):
        way = ["--tools", TOOLS] if self.over == "stdio" else ["--url", f"http://{self.address}/mcp"]
        words = [BINARY, "install", "--client", client, "--force", "--config", CONFIG, "--data", self.data, *way]
        subprocess.run(words, env=env, cwd=WORK, check=True, stdout=subprocess.DEVNULL, timeout=900)


def settle():
    """The hosts' own files, as a first start would leave them."""
    WORK.mkdir()
    CONFIG.write_text("[grants.travel_agent]\nelicit = true\n")
    (HOME / "claude").mkdir()
    (HOME / "codex").mkdir()
    trust = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    (HOME / "claude/.claude.json").write_text(json.dumps({
        "hasCompletedOnboarding": True, "theme": "dark", "projects": {str(WORK): trust},
        "customApiKeyResponses": {"approved": [KEY], "rejected": []},
    }))
    (HOME / "codex/config.toml").write_text(f"""
model = "stub"
model_provider = "stub"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.stub]
name = "stub"
base_url = "{model.url}/v1"
env_key = "STUB_KEY"
wire_api = "responses"
""")


def words_of(host, *more):
    if host == "claude":
        return [CLAUDE, "-p", *MANUAL, *more, "--"]
    approve = 'mcp_servers.longhaul.default_tools_approval_mode="approve"'
    return [CODEX, "exec", "--skip-git-repo-check", "-s", "read-only", "-c", approve, *more]


def start(host, prompt, *more):
    model.forget()
    pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*words_of(host, *more), prompt], env=env, cwd=WORK, text=True, **pipe)


def end_of(process):
    try:
        told, _ = process.communicate(timeout=HOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, told


def headless(host, server):
    """The link is for the model, which asks for the result; the server is killed before it does."""
    book = call(host, "book_agent", topic="tides", chapters=2)
    wait = call(host, "task_wait", task_id="$TASK")
    model.may_go_on.clear()
    process = start(host, script(book, wait, wait))
    model.wait(lambda text: "task_id" in text, "a link")
    server.kill()
    model.may_go_on.set()
    end_of(process)
    link = next(text for text in model.shown() if "task_id" in text)
    assert "task_wait" in link, f"the link says what to call: {link}"
    assert any('"words":' in text for text in model.shown()), f"no result: {model.shown()}"
    again = ("--continue",) if host == "claude" else ("resume", "--last")
    end_of(start(host, script(call(host, "task_result", task_id="$TASK")), *again))
    assert any('"words":' in text for text in model.shown()), f"no result after resuming: {model.shown()}"
    end_of(start(host, script(call(host, "travel_agent"))))
    told = {"claude": "put away without an answer", "codex": "declined"}[host]
    assert any(told in text for text in model.shown()), f"without a person the host says no: {model.shown()}"


@contextlib.contextmanager
def on_terminal(*more):
    terminal = Terminal([CLAUDE, *MANUAL, *more], env, WORK)
    try:
        terminal.wait("← for agents")
        yield terminal
    finally:
        terminal.close()


def await_tools(terminal):
    """A host connects while a person types: asks until the tools are there."""
    for _ in range(60):
        model.forget()
        terminal.enter("script: []")
        with model.news:
            assert model.news.wait_for(lambda: model.requests, HOST_SECONDS), "no request"
            if any("mcp__longhaul__book_agent" in json.dumps(request) for request in model.requests):
                return
        terminal.wait("done")
        time.sleep(0.5)
    raise AssertionError("Claude Code has no tools of Longhaul's")


def began_in_background(text):
    return "server-side task" in text and "book_agent" in text


def notified(text):
    return "<task-notification>" in text and '"words":' in text


def interactive(server):
    """Claude Code follows the task itself and brings its result, over a kill and over leaving and resuming."""
    with on_terminal() as terminal:
        await_tools(terminal)
        model.forget()
        terminal.enter(script(call("claude", "book_agent", topic="tides", chapters=2)))
        model.wait(began_in_background, "that the task is in the background")
        server.kill()
        model.wait(notified, "the result after a kill")
        model.forget()
        terminal.enter(script(call("claude", "book_agent", topic="dunes", chapters=3)))
        model.wait(began_in_background, "that the task is in the background")
        terminal.wait("still running")
    model.forget()
    with on_terminal("--continue"):
        model.wait(notified, "the result after leaving and resuming")


def main():
    settle()
    passed = 0
    for over in ("stdio", "http"):
        server = Server(over)
        server.start()
        try:
            for host, client in (("claude", "claude-code"), ("codex", "codex")):
                server.install(client)
                headless(host, server)
                print(f"{client} over {over}, without a terminal: ok", flush=True)
                passed += 1
                if host == "claude":
                    interactive(server)
                    print(f"{client} over {over}, on a terminal: ok", flush=True)
                    passed += 1
        finally:
            server.end(signal.SIGTERM)
    # The first that fails ends the run.
    print(f"{passed} passed, 0 failed")


main()
