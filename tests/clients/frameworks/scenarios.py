"""What the scripted model does in each scenario, and what the client is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Where a call of the script wants the id of the task: what the model was shown has to contain it.
TASK = "TASK"


@dataclass(frozen=True)
class Turn:
    """One answer of the model: a call of a tool, again and again while the task runs if it is `until_ended`."""

    tool: str
    arguments: dict[str, Any]
    until_ended: bool = False
    # The server is killed with SIGKILL and started again before the model gives this answer.
    after_kill: bool = False


@dataclass(frozen=True)
class Scenario:
    turns: tuple[Turn, ...]
    # What follows `/mcp` in the address.
    query: str = ""
    # Seconds after which the client gives up, where the framework has such a bound.
    limit: float = 30.0
    # Whether the client declares elicitation and sampling, as far as the framework has them.
    answers: bool = False


# Answers with a link at once, and is done after five pauses.
BOOK = Turn("book_agent", {"topic": "tides", "chapters": 1, "pause_ms": 100})
SLOW_BOOK = Turn("book_agent", {"topic": "tides", "chapters": 1, "pause_ms": 500})
# Answers with its result, if the wait for it lasts that long.
WORK = Turn("long_running_agent", {"steps": 1, "step_ms": 4000})
TRIP = Turn("travel_agent", {"destination": "Rome"})
RESEARCH = Turn("research_agent", {"topic": "tides"})
WAIT = Turn("task_wait", {"task_id": TASK})
WAIT_ON = Turn("task_wait", {"task_id": TASK}, until_ended=True)
WAIT_AFTER_KILL = Turn("task_wait", {"task_id": TASK}, after_kill=True)
# Of the client, in seconds; shorter than the work.
LIMIT = 3.0

SCENARIOS = {
    "inline": Scenario((Turn("compare", {"a": "the small cat", "b": "the smart cat"}),)),
    "link": Scenario((BOOK, WAIT)),
    "link-as-text": Scenario((BOOK, WAIT), query="?links=text"),
    "question": Scenario((TRIP,), answers=True),
    # There is no person to ask here: the wait shows the question, and lasts as long as this client lets it.
    "question-unanswered": Scenario((TRIP, WAIT), query="?links=text&wait=3"),
    "sample": Scenario((RESEARCH,), answers=True),
    "sample-unanswered": Scenario((RESEARCH,)),
    "wait": Scenario((WORK, WAIT_ON), query="?links=text&wait=1", limit=LIMIT),
    "wait-unset": Scenario((WORK,), limit=LIMIT),
    "kill": Scenario((SLOW_BOOK, WAIT_AFTER_KILL), query="?links=text"),
}
