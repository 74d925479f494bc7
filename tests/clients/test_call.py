"""`longhaul call`: its questions at a terminal, and tasks of several servers at once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from longhaul_server import Server, environment, person_environment
from peer import CLASSIC
from prompts import CTRL_C, CTRL_D, Prompt

pytestmark = pytest.mark.skipif(CLASSIC, reason="no library of MCP takes part, so once is enough")

TRIP = ("travel_agent", "destination=Rome")
ASKS = r"travel_agent asks: A trip to Rome is estimated at \$1200. Book it\?"
CONFIRM = r"  Book the trip, Whether to book at this price \(yes or no\): "
NOTES = r"  Notes, Wishes, such as a seat or a hotel \(string, Enter to leave out\): "
Start = Callable[..., Prompt]


@pytest.fixture
def call(binary: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Prompt] = []

    def start(*words: str) -> Prompt:
        started.append(Prompt(binary, tmp_path, *words, command="call"))
        return started[-1]

    yield start
    for one in started:
        one.abandon()


@pytest.fixture
def other(binary: Path, guests: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(binary, guests, tmp_path_factory.mktemp("other"))
    server.start()
    yield server
    server.abandon()
    print(server.log.read_text(errors="replace"))


def longhaul(running: Server, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [running.binary, *words, "--data", running.folder / "data"]
    environment = person_environment(running.folder)
    return subprocess.run(command, env=environment, check=False, capture_output=True)


def test_a_question_is_answered_at_the_terminal(running: Server, call: Start) -> None:
    trip = call(*TRIP)
    trip.expect(ASKS)
    trip.expect(CONFIRM)
    trip.press("perhaps\n")
    # Asked again, until it can be told.
    trip.expect(CONFIRM)
    trip.press("yes\n")
    trip.expect(NOTES)
    trip.press("a window\n")
    trip.expect(r"Booked a trip to Rome for \$1200\. Noted: a window\n")
    assert trip.ends() == 0


def test_a_question_is_declined_at_the_terminal(running: Server, call: Start) -> None:
    trip = call(*TRIP)
    trip.expect(CONFIRM)
    trip.press(":decline\n")
    trip.expect(r"No trip to Rome was booked: the price was declined\.\n")
    assert trip.ends() == 0


def test_ctrl_c_in_the_middle_of_a_question_leaves_the_task_and_says_how_to_go_on(running: Server, call: Start) -> None:
    trip = call(*TRIP)
    task = trip.expect(r"task ([0-9a-f-]{36})\n")[1]
    trip.expect(CONFIRM)
    trip.press("yes\n")
    trip.expect(NOTES)
    trip.press(CTRL_C)
    trip.expect(rf"detached: task {task} goes on by itself\n  next: longhaul task watch {task}, or longhaul task cancel")
    assert trip.ends() == 1
    shown = json.loads(longhaul(running, "task", "show", task, "--json").stdout)
    assert list(shown["input_requests"]) == ["price"]
    answered = longhaul(running, "task", "answer", task, "confirm=true")
    assert answered.returncode == 0, answered.stderr
    watched = longhaul(running, "task", "watch", task)
    assert watched.stdout == b"Booked a trip to Rome for $1200.\n"


def test_the_end_of_the_input_leaves_the_question_open(running: Server, call: Start) -> None:
    trip = call(*TRIP)
    task = trip.expect(r"task ([0-9a-f-]{36})\n")[1]
    trip.expect(CONFIRM)
    trip.press(CTRL_D)
    trip.expect(f"it stays open: longhaul task answer {task} --key price FIELD=VALUE")
    answered = longhaul(running, "task", "answer", task, "--decline")
    assert answered.returncode == 0, answered.stderr
    trip.expect("the price was declined")
    assert trip.ends() == 0


def test_a_question_outlives_its_server_and_may_be_answered_elsewhere(running: Server, call: Start) -> None:
    trip = call(*TRIP)
    task = trip.expect(r"task ([0-9a-f-]{36})\n")[1]
    trip.expect(CONFIRM)
    running.kill()
    trip.expect("the server is away; the task is safe")
    running.start()
    trip.expect(ASKS)
    trip.expect(CONFIRM)
    answered = longhaul(running, "task", "answer", task, "confirm=true")
    assert answered.returncode == 0, answered.stderr
    trip.expect("the question is answered elsewhere, or over")
    trip.expect(r"Booked a trip to Rome for \$1200\.\n")
    assert trip.ends() == 0


def steps(number: int, count: int) -> list[str]:
    return [f"long_running_agent@{number}", f"steps={count}", "step_ms=100"]


@pytest.mark.parametrize("json_wanted", [False, True])
def test_tasks_of_two_servers_are_followed_and_one_of_the_servers_is_killed(
    json_wanted: bool, running: Server, other: Server, binary: Path, tmp_path: Path
) -> None:
    words = ["call", "--url", running.url, "--url", other.url, *steps(1, 20), *steps(2, 30)]
    command = [binary, *words, *(["--json"] if json_wanted else [])]
    with subprocess.Popen(
        command, env=environment(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = ""
        while "[3/20]" not in told or "[3/30]" not in told:
            line = process.stderr.readline().decode()
            assert line, told
            told += line
        other.kill()
        other.start()
        stdout, stderr = (piece.decode() for piece in process.communicate())
    told += stderr
    assert process.returncode == 0, told
    assert "the server is away; the task is safe" in told
    assert "20/20] completed" in told
    assert "30/30] completed" in told
    if json_wanted:
        ended = {end["task"]["progress"]["total"]: end for end in map(json.loads, stdout.splitlines())}
        assert [(ended[n]["task"]["state"], ended[n]["task"]["attempt"]) for n in (20, 30)] == [
            ("completed", 1),
            ("completed", 2),
        ]
        assert ended[30]["result"]["content"][0]["text"] == "Completed 30 steps"
    else:
        assert sorted(stdout.splitlines()) == ["Completed 20 steps", "Completed 30 steps"]


def test_ctrl_c_names_every_task_and_its_server(running: Server, other: Server, call: Start) -> None:
    both = call("--url", running.url, "--url", other.url, *steps(1, 100), *steps(2, 100))
    both.expect(r"\[3/100\]")
    both.press(CTRL_C)
    both.expect(rf"detached(.*\n)*.*longhaul task watch \S+ --url {running.url}(.*\n)*.*task watch \S+ --url {other.url}")
    assert both.ends() == 1


def test_words_that_make_no_sense_start_nothing(running: Server, other: Server) -> None:
    urls = ["--url", running.url, "--url", other.url]
    for words, exit_status, told in [
        (["long_running_agent", "steps=1"], 2, "long_running_agent@1 or long_running_agent@2"),
        ([*steps(1, 1), "nonsense"], 3, "no tool 'nonsense', nor is it KEY=VALUE for long_running_agent"),
        ([*steps(1, 1), *steps(2, 1), "--args", "{}"], 2, "--args is for a single call"),
        ([*steps(1, 1), *steps(1, 2), "--key", "k"], 2, "one and the same"),
        ([*steps(1, 1), *steps(3, 1)], 2, "no server of that number"),
        ([*steps(1, 1), "long_running_agent@2", "steps=many"], 2, "'many' is no integer"),
    ]:
        done = longhaul(running, "call", *urls, *words)
        assert done.returncode == exit_status, done.stderr
        assert told in done.stderr.decode()
    listed = longhaul(running, "task", "list", "--json")
    assert json.loads(listed.stdout)["tasks"] == []


def test_what_a_child_asks_is_asked_on_its_parents_call(running: Server, call: Start) -> None:
    desk = call("supervisor", "ticket_id=T-1", "message=You charged me twice: I want a refund of $240", "plan=fixed")
    task = desk.expect(r"task ([0-9a-f-]{36})\n")[1]
    desk.expect(r"billing asks: Refund \$240 for ticket T-1\?")
    desk.expect(r"  Refund, Whether the money goes back \(yes or no\): ")
    shown = json.loads(longhaul(running, "task", "show", task, "--json").stdout)
    [(key, question)] = shown["input_requests"].items()
    assert key == f"{question['task']}:refund"
    assert question["task"] in shown["children"]
    desk.press("yes\n")
    desk.expect("  Note, A word for the record")
    desk.press("\n")
    desk.expect(r"Refunded \$240, approved by a person\.")
    assert desk.ends() == 0
