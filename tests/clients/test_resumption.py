"""An inline call without a progress token, across `kill -9` of the server, of the client, and of both: every report
and log line comes once and in order, and then the result."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import TEST_SECONDS, mode_of
from longhaul_server import Server
from peer import CLASSIC, Broken, Peer, Refused, over_http
from tasks import ENDED, document, start

STEPS = 6
ARGUMENTS = {"steps": STEPS, "step_ms": 250}
# Of each step its progress, told as a log message, and its log line.
LINES = [line for n in range(1, STEPS + 1) for line in (f"{n}/{STEPS} step {n} of {STEPS}", f"step {n} of {STEPS} is done")]
# Lines that were seen before something is killed.
POINTS = [1, 4, 10]


@pytest.fixture(params=POINTS, ids=lambda seen: f"after-{seen}")
def seen(request: pytest.FixtureRequest) -> int:
    return request.param


def is_legacy(way: str) -> bool:
    return mode_of(way) in ("classic", "legacy")


def completed(answer: dict[str, Any]) -> bool:
    return answer["structuredContent"] == {"steps": STEPS} and not answer.get("isError")


async def until(peer: Peer, lines: int) -> None:
    while len(peer.logs) < lines:
        await anyio.sleep(0.005)


async def test_the_server_is_killed_and_a_stock_client_resumes_by_itself(
    own_server: Server, way: str, seen: int
) -> None:
    if not is_legacy(way):
        pytest.skip("2026-07-28 has no streams that can be resumed")
    async with over_http(mode_of(way), own_server.url) as peer, anyio.create_task_group() as group:
        answers = []

        async def call() -> None:
            answers.append(await peer.call("long_running_agent", ARGUMENTS))

        group.start_soon(call)
        await until(peer, seen)
        await anyio.to_thread.run_sync(own_server.kill)
        await anyio.to_thread.run_sync(own_server.start)
        while not answers:
            await anyio.sleep(0.05)
        assert peer.logs == LINES
        assert completed(answers[0])


async def test_a_call_that_is_killed_at_once_is_lost_as_a_whole_or_not_at_all(own_server: Server, way: str) -> None:
    if not is_legacy(way):
        pytest.skip("2026-07-28 has no streams that can be resumed")
    try:
        async with over_http(mode_of(way), own_server.url) as peer, anyio.create_task_group() as group:
            ends: list[dict[str, Any] | Refused] = []

            async def call() -> None:
                try:
                    ends.append(await peer.call("long_running_agent", {"steps": STEPS, "step_ms": 50}))
                except Refused as refused:
                    ends.append(refused)

            group.start_soon(call)
            await anyio.sleep(0.03)
            await anyio.to_thread.run_sync(own_server.kill)
            await anyio.to_thread.run_sync(own_server.start)
            with anyio.move_on_after(30):
                while not ends:
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
            # Killed before the first event, there is nothing that a client could come back with.
            if ends and isinstance(ends[0], Refused):
                assert "Send it again" in ends[0].message
                assert peer.logs == []
            elif ends:
                assert completed(ends[0])
                assert peer.logs == LINES
    except* Broken:
        # Not even the response had begun.
        assert peer.logs == []


class Client:
    """One life of a client, and what it got."""

    def __init__(self, server: Server, *arguments: str) -> None:
        script = Path(__file__).with_name("resuming_client.py")
        sized = [f"--steps={STEPS}", f"--step-ms={ARGUMENTS['step_ms']}"]
        command = [sys.executable, str(script), server.url, *sized, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.session = ""
        self.token = ""
        # What came before the last token.
        self.logs: list[str] = []
        self.answer: dict[str, Any] | None = None
        self._after: list[str] = []

    def _lines(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The end of one that was killed.
            if line.endswith("\n"):
                yield json.loads(line)

    def _take(self, said: dict[str, Any]) -> None:
        self.session = said.get("session", self.session)
        self.answer = said.get("answer", self.answer)
        if "log" in said:
            self._after.append(said["log"])
        if "token" in said:
            self.token = said["token"]
            self.logs += self._after
            self._after = []

    def until(self, lines: int) -> None:
        for said in self._lines():
            self._take(said)
            if len(self.logs) >= lines and self.token:
                return
        raise AssertionError("the client ended")

    def kill(self) -> None:
        """It may have said more meanwhile."""
        self._process.kill()
        for said in self._lines():
            self._take(said)
        assert self._process.wait(TEST_SECONDS) == -signal.SIGKILL

    def finish(self) -> None:
        for said in self._lines():
            self._take(said)
        self.logs += self._after
        assert self._process.wait(TEST_SECONDS) == 0


@pytest.mark.skipif(not CLASSIC, reason="the client is one of mcp 1")
@pytest.mark.parametrize("server_dies", [False, True], ids=["client", "both"])
@pytest.mark.parametrize("lines", [0, *POINTS], ids=lambda lines: f"after-{lines}")
def test_the_client_is_killed_and_another_goes_on(own_server: Server, way: str, lines: int, server_dies: bool) -> None:
    del way
    first = Client(own_server)
    first.until(lines)
    first.kill()
    if server_dies:
        own_server.kill()
        own_server.start()
    second = Client(own_server, f"--session={first.session}", f"--token={first.token}")
    second.finish()
    assert second.answer is not None
    if "error" in second.answer:
        # It was killed between the first event, which has no message, and the task.
        assert lines == 0 and "Send it again" in second.answer["error"]["message"]
        return
    assert first.logs + second.logs == LINES
    assert completed(second.answer["result"])


async def test_a_listener_loses_the_server_listens_again_and_has_missed_nothing(own_server: Server, way: str) -> None:
    """Of both protocols: what a listener reads after it has subscribed is never older than what it was told."""
    mode = mode_of(way)
    uri, done = "", 0
    # However a client ends whose server is gone.
    with contextlib.suppress(Exception):
        async with over_http(mode, own_server.url) as peer:
            uri = await start(peer, "long_running_agent", {"steps": 8, "step_ms": 200})
            async with peer.updates(uri) as told:
                while done < 2:
                    assert await told.next() == uri
                    done = (await document(peer, uri)).get("progress", {"done": 0})["done"]
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(own_server.kill)
    assert done >= 2
    await anyio.to_thread.run_sync(own_server.start)
    async with over_http(mode, own_server.url) as peer, peer.updates(uri) as told:
        task = await document(peer, uri)
        assert task["progress"]["done"] >= done
        while task["state"] not in ENDED:
            assert await told.next() == uri
            later = await document(peer, uri)
            assert later["progress"]["done"] >= task["progress"]["done"]
            task = later
        assert (task["state"], task["progress"]) == ("completed", {"done": 8, "total": 8})
