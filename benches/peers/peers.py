"""Starts each server of benches/peers and says how it is asked for each kind of work.

A work is `inline` (a trivial call, its result in the same response), `link` (the same begun, and ended in the background) or
`ten` (ten durable steps, the result in the same response). A peer that has no such thing has none of that name.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
STARTING_SECONDS = 60
RESTATE = "node_modules/@restatedev/restate-server-linux-x64/bin/restate-server"


class Missing(Exception):
    """Why a peer cannot be had here, in words for the table."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Peer:
    """Servers of one kind. `promise` says whether what it acknowledged is on disk by then."""

    name = promise = ""
    works = {}

    def __init__(self, cache, scratch, load):
        self.cache, self.load = cache, load
        self.scratch = scratch / type(self).__name__.lower()
        self.scratch.mkdir()
        self.processes = []
        self.open = None

    def start(self):
        raise NotImplementedError

    def spawn(self, words, **named):
        """Starts a process whose words go to a file in the scratch folder."""
        log = open(self.scratch / "log", "ab")
        named = {"stdin": subprocess.DEVNULL, "stdout": log, "cwd": self.scratch, **named}
        process = subprocess.Popen([str(word) for word in words], stderr=log, **named)
        self.processes.append(process)
        return process

    def python(self, venv):
        python = self.cache / venv / "bin/python"
        if not (self.cache / venv / "done").exists():
            raise Missing(f"not installed: {self.cache / venv}.log says why")
        return python

    def await_page(self, address, path="/", post=None):
        """Until a request, a POST where there is something to post, is answered with status 2xx."""
        end = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < end:
            if any(process.poll() is not None for process in self.processes):
                raise Missing(f"its server ended: {self.last_words()}")
            try:
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(f"http://{address}{path}", data=post, headers=headers)
                return urllib.request.urlopen(request, timeout=5).read()
            except OSError:  # an answer of another status is one too
                pass
            time.sleep(0.1)
        raise Missing(f"did not start in {STARTING_SECONDS} s: {self.last_words()}")

    def last_words(self):
        return " ".join((self.scratch / "log").read_text(errors="replace").split()[-20:])

    def measure(self, work, clients, seconds, warm_up_seconds):
        what = {
            "address": self.address,
            "clients": clients,
            "seconds": seconds,
            "warm_up_seconds": warm_up_seconds,
            "open": self.open,
            "pids": [process.pid for process in self.processes],
            **self.works[work](self),
        }
        limit = seconds + warm_up_seconds + 100
        done = subprocess.run([self.load, json.dumps(what)], capture_output=True, text=True, timeout=limit)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[:300])
        return json.loads(done.stdout)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def mcp_call(tool, arguments, expect, reply=None, tasks=False):
    """A `tools/call` under MCP 2026-07-28: one POST."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": (
            {"extensions": {"io.modelcontextprotocol/tasks": {}}} if tasks else {}
        ),
    }
    if reply:
        meta["longhaul/reply"] = reply
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = [
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
    ]
    return lambda _peer: {"path": "/mcp", "headers": headers, "body": body, "expect": expect}


class Longhaul(Peer):
    name = "Longhaul"
    promise = "yes"
    steps = [{"op": "output", "name": f"step-{number}", "text": "done"} for number in range(10)]
    works = {
        "inline": mcp_call("analyze", {"text": "a few words"}, '"words":3', reply="inline"),
        "link": mcp_call("analyze", {"text": "a few words"}, "task://", reply="link"),
        "ten": mcp_call("run_program", {"program": steps}, '"ops":10', reply="inline"),
    }

    def __init__(self, cache, scratch, load, program=None):
        super().__init__(cache, scratch, load)
        self.program = program or os.environ["LONGHAUL_PROGRAM"]

    def start(self):
        # Its own configuration, so that the user's is not read.
        (self.scratch / "longhaul.toml").touch()
        words = [self.program, "serve", "--json", "--trust", "--http", "127.0.0.1:0"]
        words += ["--config", self.scratch / "longhaul.toml", "--data", self.scratch / "data"]
        words += ["--tools", os.environ["LONGHAUL_TOOLS_FOLDER"]]
        server = self.spawn(words, stdout=subprocess.PIPE)
        said = [json.loads(server.stdout.readline() or "{}") for _ in range(2)]
        if not said[1].get("loaded"):
            raise Missing(f"did not start: {self.last_words()}")
        self.address = said[0]["url"].removeprefix("http://").removesuffix("/mcp")
        self.open = {"address": self.address, "path": "/metrics", "prefix": "longhaul_tasks_open"}


class FastMcp(Peer):
    name = "FastMCP 4.2.3"
    promise = "no"
    works = {"inline": mcp_call("add", {"a": 1, "b": 2}, "3")}
    venv, flags = "fastmcp", []

    def start(self):
        port = free_port()
        # It would ask PyPI for its newest version.
        environment = {**os.environ, "FASTMCP_CHECK_FOR_UPDATES": "off"}
        words = [self.python(self.venv), HERE / "servers/fastmcp_server.py", port, *self.flags]
        self.spawn(words, env=environment)
        self.address = f"127.0.0.1:{port}"
        self.open = {"address": self.address, "path": "/open", "prefix": "open"}
        self.await_page(self.address, "/open")


class FastMcpTasks(FastMcp):
    name = "FastMCP 4.1.4, tasks on its docket"
    promise = "no"
    works = {"link": mcp_call("add", {"a": 1, "b": 2}, '"taskId"', tasks=True)}
    venv, flags = "fastmcp-tasks", ["tasks"]


class Restate(Peer):
    name = "Restate 1.7.12, Node SDK 1.17.2"
    promise = "yes"
    works = {
        "inline": lambda _peer: {"path": "/bench/nothing", "body": "1", "expect": "1"},
        "link": lambda _peer: {"path": "/bench/nothing/send", "body": "1", "expect": "invocationId"},
        "ten": lambda _peer: {"path": "/bench/ten", "body": "1", "expect": "45"},
    }

    def start(self):
        home = self.cache / "restate"
        if not (home / "done").exists():
            raise Missing(f"not installed: {home}.log says why")
        server, ingress, admin, service, page = (free_port() for _ in range(5))
        environment = {
            **os.environ,
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{server}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{server}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
            "DO_NOT_TRACK": "1",
        }
        words = [home / RESTATE, "--no-logo", "--listen-mode", "tcp", "--base-dir", self.scratch / "data"]
        self.spawn([*words, "--node-name", "bench"], env=environment)
        # Node looks for packages from where the script stands.
        script = home / "service.mjs"
        shutil.copy(HERE / "servers/restate_service.mjs", script)
        self.spawn(["node", script, service, page, f"http://127.0.0.1:{admin}"])
        self.await_page(f"127.0.0.1:{admin}", "/health")
        self.await_page(f"127.0.0.1:{page}", "/open")
        deployment = json.dumps({"uri": f"http://127.0.0.1:{service}", "force": True}).encode()
        self.await_page(f"127.0.0.1:{admin}", "/deployments", deployment)
        self.address = f"127.0.0.1:{ingress}"
        self.await_page(self.address, "/bench/ten", b"1")
        self.open = {"address": f"127.0.0.1:{page}", "path": "/open", "prefix": "open"}


class Dbos(Peer):
    """In one process with its caller: no HTTP, and the processor time is that of both."""

    name = "DBOS 3.4.0 on SQLite"
    promise = "yes"
    works = dict.fromkeys(["inline", "link", "ten"])

    def start(self):
        self.database = []
        self.begin(f"sqlite:///{self.scratch}/dbos.sqlite")

    def begin(self, url):
        words = [self.python("dbos"), HERE / "servers/dbos_work.py", url]
        self.worker = self.spawn(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.worker.stdout.readline() != "ready\n":
            raise Missing(f"did not start: {self.last_words()}")

    def measure(self, work, clients, seconds, warm_up_seconds):
        what = dict(work=work, clients=clients, seconds=seconds, warm_up_seconds=warm_up_seconds, pids=self.database)
        print(json.dumps(what), file=self.worker.stdin, flush=True)
        answer = self.worker.stdout.readline()
        if not answer:
            raise RuntimeError(f"it ended: {self.last_words()}")
        return json.loads(answer)

    def stop(self):
        if self.processes:
            self.processes[-1].stdin.close()
        super().stop()


class DbosPostgres(Dbos):
    name = "DBOS 3.4.0 on PostgreSQL"

    def start(self):
        self.python("dbos")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        if not found:
            raise Missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        binaries = found[-1].parent
        version = subprocess.run([found[-1], "--version"], capture_output=True, text=True).stdout.split()[2]
        self.name = f"DBOS 3.4.0 on PostgreSQL {version}"
        # It does not run as root.
        user, other = pwd.getpwuid(os.getuid()).pw_name, {}
        if os.getuid() == 0:
            user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            other = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
            shutil.chown(self.scratch, user)
        data = self.scratch / "data"
        words = [binaries / "initdb", "--auth", "trust", "--username", user, "-D", data]
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.scratch, **other)
        if done.returncode:
            raise Missing(f"initdb failed: {done.stderr.strip()}")
        # A socket in the scratch folder, and no port.
        database = self.spawn([binaries / "postgres", "-D", data, "-k", self.scratch, "-c", "listen_addresses="], **other)
        self.database = [database.pid]
        end = time.monotonic() + STARTING_SECONDS
        while subprocess.run([binaries / "pg_isready", "-q", "-h", self.scratch]).returncode:
            if time.monotonic() > end or database.poll() is not None:
                raise Missing(f"PostgreSQL did not start: {self.last_words()}")
            time.sleep(0.1)
        self.begin(f"postgresql+psycopg://{user}@/dbos?host={self.scratch}")


def a2a(artifacts, immediately, expect):
    message = {"messageId": "m-$NNNNNNNNNNN", "role": "ROLE_USER", "parts": [{"text": str(artifacts)}]}
    params = {"message": message, "configuration": {"returnImmediately": immediately}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params})
    return lambda _peer: {"path": "/", "headers": ["A2A-Version: 1.0"], "body": body, "expect": expect}


class A2aSqlite(Peer):
    name = "a2a-sdk 1.3.0 on SQLite"
    promise = "yes, but never resumed"
    works = {
        "inline": a2a(0, False, "TASK_STATE_COMPLETED"),
        "link": a2a(0, True, '"task"'),
        "ten": a2a(10, False, "TASK_STATE_COMPLETED"),
    }

    def start(self):
        port = free_port()
        self.spawn([self.python("a2a"), HERE / "servers/a2a_server.py", port, *self.databases()])
        self.address = f"127.0.0.1:{port}"
        self.open = {"address": self.address, "path": "/open", "prefix": "open"}
        self.await_page(self.address, "/open")

    def databases(self):
        return [self.scratch / "tasks.sqlite"]


class A2aMemory(A2aSqlite):
    name = "a2a-sdk 1.3.0, tasks in memory"
    promise = "no"

    def databases(self):
        return []


ALL = [Longhaul, FastMcp, FastMcpTasks, Restate, Dbos, DbosPostgres, A2aSqlite, A2aMemory]

if __name__ == "__main__":
    sys.exit("this is a part of benches/peers/run")
