"""Hosts that spawn `longhaul serve --stdio`, on one data folder, and the server behind them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from longhaul_server import START_SECONDS, STOP_SECONDS, environment, tools_and_data
from peer import Peer, over_stdio

# The shell says which process it becomes.
SAY_PID = 'echo $$ > "$0"; exec "$@"'


class Host:
    def __init__(self, peer: Peer, pid: int) -> None:
        self.peer = peer
        self.pid = pid
        self.killed = False

    def kill(self) -> None:
        self.killed = True
        kill(self.pid)


class Hosts:
    def __init__(self, mode: str, binary: Path, guests: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.environment = environment(folder)
        self._mode = mode
        self._guests = guests
        self._log = folder / "hosts.log"
        self._data = folder / "data"
        self._count = 0

    def command(self, *more: str) -> list[str]:
        return [str(self.binary), "serve", "--stdio", *more, *tools_and_data(self._guests, self.folder)]

    @asynccontextmanager
    async def one(self, *more: str) -> AsyncIterator[Host]:
        """A host that is connected; one that was killed ends as it may."""
        self._count += 1
        pid_file = self.folder / f"host-{self._count}.pid"
        arguments = ["-c", SAY_PID, str(pid_file), *self.command(*more)]
        host = None
        try:
            with self._log.open("ab") as log:
                async with over_stdio(self._mode, "sh", arguments, self.environment, log) as peer:
                    host = Host(peer, int(pid_file.read_text()))
                    yield host
        except BaseException:
            if host is None or not host.killed:
                raise

    def server(self) -> dict[str, Any]:
        """What `server.json` says."""
        return json.loads((self._data / "server.json").read_text())

    def kill_server(self) -> None:
        kill(self.server()["pid"])

    def servers(self) -> list[int]:
        """Processes in the background on the folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and is_server(entry, str(self._data)):
                found.append(int(entry.name))
        return found

    def logged(self) -> str:
        logs = [self._log, self._data / "server.log"]
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs if log.exists())

    def abandon(self) -> None:
        """Whatever state a failed test left it in."""
        for pid in self.servers():
            kill(pid)


def is_server(entry: Path, data: str) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "--background" in words and data in words


def kill(pid: int) -> None:
    """As the machine would, and returns once it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    wait_for_end(descriptor)


def wait_for_end(descriptor: int) -> None:
    """Of a process that need not be our child."""
    ended, _, _ = select.select([descriptor], [], [], STOP_SECONDS)
    os.close(descriptor)
    assert ended, "the process goes on"


def spawn(hosts: Hosts, *more: str) -> subprocess.Popen[bytes]:
    """A host without a client, for what no client would say."""
    return subprocess.Popen(
        hosts.command(*more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=hosts.environment,
        cwd=hosts.folder,
    )


def handshake(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": "one", "method": "initialize", "params": info}
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def answered(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    return json.loads(process.stdout.readline() if ready else b"{}")
