"""`longhaul client`: whatever is killed, the next start takes its tasks up and shows how they end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from longhaul_server import Server, environment
from peer import CLASSIC
from prompts import CTRL_C, CTRL_D, Prompt, client_environment, remember, remembered

pytestmark = pytest.mark.skipif(CLASSIC, reason="no library of MCP takes part, so once is enough")

SLOW = "long_running_agent steps=40 step_ms=100"
END = r"40/40\] completed: step 40 of 40\nCompleted 40 steps\n"
Start = Callable[..., Prompt]


@pytest.fixture
def prompt(binary: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Prompt] = []

    def start(*more: str) -> Prompt:
        started.append(Prompt(binary, tmp_path, *more))
        return started[-1]

    yield start
    for one in started:
        one.abandon()


def tasks(running: Server) -> list[dict[str, object]]:
    command = [running.binary, "task", "list", "--json", "--data", running.folder / "data"]
    said = subprocess.run(command, env=environment(running.folder), check=True, capture_output=True)
    return json.loads(said.stdout)["tasks"]


def test_ctrl_c_leaves_a_task_to_itself(running: Server, prompt: Start, tmp_path: Path) -> None:
    first = prompt()
    first.type(SLOW)
    task = first.expect(r"task ([0-9a-f-]{36})\n")[1]
    first.expect(r"\[3/40\]")
    first.press(CTRL_C)
    first.expect(rf"detached: .* `attach {task[-6:]}` comes back, as does longhaul task watch {task}\n")
    first.type(f"attach {task[-6:]}")
    first.expect(r"\[\d+/40\]")
    first.press(CTRL_C)
    first.expect("detached")
    first.expect("longhaul> ")
    first.press(CTRL_C)
    assert first.ends() == 0
    assert "the next `longhaul client` takes it up" in first.unread
    assert [entry["id"] for entry in remembered(tmp_path)] == [task]

    second = prompt()
    second.expect("taking up one task")
    second.expect(END)
    second.expect("longhaul> ")
    assert remembered(tmp_path) == []
    second.press(CTRL_D)
    assert second.ends() == 0


@pytest.mark.parametrize("killed", ["client", "server", "both"])
def test_whatever_is_killed_the_end_is_shown(killed: str, running: Server, prompt: Start, tmp_path: Path) -> None:
    client = prompt()
    client.type(SLOW)
    client.expect(r"\[3/40\]")
    if killed != "server":
        client.kill()
    if killed != "client":
        running.kill()
    if killed == "server":
        client.expect("the server is away; the task is safe")
        running.start()
    elif killed == "both":
        # It waits for the server.
        client = prompt()
        client.expect("taking up one task")
        client.expect("no server|does not answer")
        running.start()
    else:
        client = prompt()
        client.expect("taking up one task")
    client.expect(END)
    client.type("quit")
    assert client.ends() == 0
    assert remembered(tmp_path) == []
    [task] = tasks(running)
    assert (task["state"], task["attempt"]) == ("completed", 1 if killed == "client" else 2)


def test_a_call_that_was_never_answered_is_made_once(running: Server, prompt: Start, tmp_path: Path) -> None:
    """The client was killed after it had written the call down: before or after it had sent it."""
    arguments = {"steps": 2, "step_ms": 1}
    socket = f"unix:{tmp_path / 'data' / 'server.sock'}"
    entry = {"server": socket, "tool": "long_running_agent", "arguments": arguments, "key": "k", "id": None}
    for _ in range(2):
        remember(tmp_path, entry)
        client = prompt()
        client.expect("Completed 2 steps\n")
        client.type("quit")
        assert client.ends() == 0
    assert len(tasks(running)) == 1


def test_several_servers_at_once(
    running: Server, prompt: Start, binary: Path, guests: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Server(binary, guests, tmp_path_factory.mktemp("other"))
    other.start()
    try:
        client = prompt("--url", running.url, "--url", other.url)
        client.type("list")
        client.expect(r"long_running_agent +1 .*\n(.*\n)*.*long_running_agent +2 ")
        client.type("long_running_agent steps=1 step_ms=1")
        client.expect("long_running_agent@1 or long_running_agent@2")
        client.type("long_running_agent@2 steps=2 step_ms=1")
        client.expect("Completed 2 steps\n")
        client.type("long_running_agent@1 steps=30 step_ms=100")
        client.expect(r"\[2/30\]")
        # Another word does not wait for it.
        client.press("book_agent@2 topic='the sea' chapters=2 pause_ms=1\n")
        client.expect("Wrote 2 chapters on the sea")
        client.expect("Completed 30 steps\n")
        client.type("tasks")
        client.expect(f"server 1: {running.url}(.*\n)*.*long_running_agent(.*\n)*server 2: {other.url}(.*\n)*.*book_agent")
        client.press(CTRL_D)
        assert client.ends() == 0
        assert len(tasks(running)) == 1
    finally:
        other.abandon()


def test_words_that_make_no_sense_are_told(running: Server, prompt: Start) -> None:
    client = prompt()
    for line, told in [
        ("nonsense x=1", "has no tool 'nonsense'"),
        ("long_running_agent steps=many", "steps: 'many' is no integer"),
        ("long_running_agent steps='1", "a ' is open"),
        ("attach", "no task is open here"),
        ("attach abcdef", "no task is known here by 'abcdef'"),
        ("answer", "asks anything"),
        ("help", "TOOL@2 names the server"),
    ]:
        client.type(line)
        client.expect(told)
    client.type("quit")
    assert client.ends() == 0


def test_a_script_is_done_line_by_line(running: Server, binary: Path, tmp_path: Path) -> None:
    lines = "long_running_agent steps=2 step_ms=1\nbook_agent topic=tides chapters=2 pause_ms=1\n"
    command = [binary, "client", "--data", tmp_path / "data"]
    done = subprocess.run(
        command, env=client_environment(tmp_path), input=lines.encode(), check=True, capture_output=True
    )
    said = done.stdout.decode()
    assert said.startswith("Completed 2 steps\nWrote 2 chapters on tides"), said
    assert remembered(tmp_path) == []
