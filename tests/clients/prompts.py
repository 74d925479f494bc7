"""`longhaul client` and `longhaul call` in a pseudo-terminal, as a person has them before them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import time
from pathlib import Path

from longhaul_server import STOP_SECONDS, environment

EXPECT_SECONDS = 60
CTRL_C = "\x03"
CTRL_D = "\x04"


class Prompt:
    def __init__(self, binary: Path, folder: Path, *more: str, command: str = "client") -> None:
        arguments = [str(binary), command, "--data", str(folder / "data"), *more]
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(binary, arguments, client_environment(folder))
        # What it has said and nobody has looked for.
        self.unread = ""
        self.ended: int | None = None

    def expect(self, pattern: str) -> re.Match[str]:
        """Waits until the pattern is on the screen, below what was found before."""
        until = time.monotonic() + EXPECT_SECONDS
        while (found := re.search(pattern, self.unread)) is None:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{pattern!r} does not come after:\n{self.unread}"
            assert self._read(), f"{pattern!r} is not in the last words:\n{self.unread}"
        self.unread = self.unread[found.end() :]
        return found

    def type(self, line: str) -> None:
        self.expect("longhaul> ")
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self._wait() == -signal.SIGKILL

    def ends(self) -> int:
        """Its exit status; what it said last is in `unread`."""
        until = time.monotonic() + STOP_SECONDS
        while select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))[0] and self._read():
            pass
        return self._wait()

    def abandon(self) -> None:
        """Whatever state a failed test left it in."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()

    def _read(self) -> bool:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            # So says a terminal whose last process has ended.
            return False
        self.unread += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def _wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.ended = os.waitstatus_to_exitcode(status)
        os.close(self._terminal)
        return self.ended


def client_environment(folder: Path) -> dict[str, str]:
    return {**environment(folder), "XDG_STATE_HOME": str(folder / "state"), "TERM": "dumb"}


def remembered(folder: Path) -> list[dict[str, object]]:
    path = folder / "state" / "longhaul" / "client.json"
    return json.loads(path.read_text())["tasks"] if path.exists() else []


def remember(folder: Path, *tasks: dict[str, object]) -> None:
    path = folder / "state" / "longhaul" / "client.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tasks": tasks}))
