"""A `longhaul serve` process over HTTP, on a data folder that outlives it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

# A start compiles the guests where no compiled code is cached, on a machine that may do other things.
START_SECONDS = 180
STOP_SECONDS = 30


class Server:
    def __init__(self, binary: Path, guests: Path, folder: Path, flags: Sequence[str] = ()) -> None:
        self.binary = binary
        self.guests = guests
        self.folder = folder
        self.flags = flags
        self.log = folder / "server.log"
        self.url = ""
        # Clients come back to where they were.
        self._address = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it serves all its tools: `serve --json` says where it listens in a line on stdout, and that all
        are there in a second one."""
        arguments = ["serve", "--http", self._address, "--json", *tools_and_data(self.guests, self.folder), *self.flags]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env=environment(self.folder),
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        said = json.loads(line or "{}")
        if "url" not in said or b"loaded" not in self._process.stdout.readline():
            self._process.kill()
            raise RuntimeError(f"the server did not start: {said}\n{self.log.read_text()}")
        self.url = said["url"]
        self._address = urlsplit(self.url).netloc

    def still_runs(self) -> None:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"the server ended with {status}:\n{self.log.read_text()}"

    def kill(self) -> None:
        """As the machine would: no handler runs, nothing is flushed."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(STOP_SECONDS) == -signal.SIGKILL

    def stop(self) -> None:
        """As an operator would."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(STOP_SECONDS)
        assert status == 0, f"exit status {status}:\n{self.log.read_text()}"

    def abandon(self) -> None:
        """Whatever state a failed test left it in."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)


def tools_and_data(guests: Path, folder: Path) -> list[str]:
    return ["--data", str(folder / "data"), "--tools", str(guests)]


def environment(folder: Path) -> dict[str, str]:
    """Nothing of whoever runs the tests: no settings from the environment, no configuration file."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LONGHAUL_") or name == "LONGHAUL_GUEST_TARGET_DIR"
    }
    # A server in the background ends with its last client.
    return {**kept, "XDG_CONFIG_HOME": str(folder / "config"), "LONGHAUL_BACKGROUND_IDLE_SECONDS": "0"}


def person_environment(folder: Path) -> dict[str, str]:
    """For a command without a terminal that answers as a person."""
    leave = Path(__file__).parents[1] / "support" / "answers.toml"
    return {**environment(folder), "LONGHAUL_CONFIG": str(leave)}
