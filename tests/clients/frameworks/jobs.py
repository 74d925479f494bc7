"""The part that all agents in Python share: scenarios in, one line of JSON a scenario out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

# Of the client's person and of the client's model.
ANSWER = {"confirm": True, "notes": "window seat"}
SAMPLE = "The tides follow the moon."
# What the user of the agent says.
PROMPT = "Go on."
MODEL = "gpt-4o"
KEY = "none"
# More than any scenario takes: what waits in vain ends all the same.
SCENARIO_SECONDS = 60


@dataclass(frozen=True)
class Job:
    scenario: str
    # Where Longhaul's server is, and where the scripted model.
    mcp: str
    model: str
    limit: float
    answers: bool


def run(agent: Callable[[Job], Awaitable[str]]) -> None:
    for line in json.loads(sys.argv[1]):
        job = Job(**line)
        try:
            ended = {"said": asyncio.run(in_time(agent(job)))}
        except Exception as error:
            ended = {"raised": innermost(error)}
        print(json.dumps({"scenario": job.scenario, **ended}), flush=True)


async def in_time(ending: Awaitable[str]) -> str:
    async with asyncio.timeout(SCENARIO_SECONDS):
        return await ending


def innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
