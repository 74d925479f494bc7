"""A client of the tasks extension, the server killed while it works: what was created can be polled, goes on, and can
be answered and cancelled.

A client of this kind keeps no connection: after the server's death another one takes the task up by what the first
was told when it was created.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError
from fastmcp_tasks import ToolTask, call_tool_task
from longhaul_server import Server

STEPS = "long_running_agent"
ASKS = "travel_agent"
LINK = {"longhaul/reply": "link"}


@pytest.fixture
def server(binary: Path, guests: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(binary, guests, tmp_path)
    server.start()
    yield server
    server.abandon()
    print(server.log.read_text(errors="replace"))


def restart(server: Server) -> None:
    server.kill()
    server.start()


async def create(server: Server, tool: str, **arguments: Any) -> ToolTask:
    async with Client(server.url) as client:
        task = await call_tool_task(client, tool, arguments, meta=LINK)
        assert (await task.status()).task_id == task.task_id
        return task


def taken_up(client: Client, task: ToolTask) -> ToolTask:
    return ToolTask(client, task._tool_name, task.create_result)


async def test_a_task_is_created_polled_and_finished_across_restarts(server: Server) -> None:
    task = await create(server, STEPS, steps=40, step_ms=50)
    for _ in range(2):
        restart(server)
        async with Client(server.url) as client:
            status = await taken_up(client, task).status()
            assert (status.task_id, status.status) == (task.task_id, "working")
    async with Client(server.url) as client:
        result = await taken_up(client, task).result()
        assert result.structured_content == {"steps": 40}
    restart(server)
    async with Client(server.url) as client:
        status = await taken_up(client, task).status()
        assert status.status == "completed"
        assert (status.result or {})["structuredContent"] == {"steps": 40}


async def test_a_task_is_cancelled_after_a_restart_and_stays_so(server: Server) -> None:
    task = await create(server, STEPS, steps=1000, step_ms=1000)
    restart(server)
    async with Client(server.url) as client:
        again = taken_up(client, task)
        await again.cancel()
        assert (await again.wait(timeout=60)).status == "cancelled"
        # Once more is no harm.
        await again.cancel()
    restart(server)
    async with Client(server.url) as client:
        assert (await taken_up(client, task).status()).status == "cancelled"
        with pytest.raises(ToolError, match="cancelled"):
            await taken_up(client, task).result()


async def test_a_cancellation_that_was_acknowledged_is_not_lost(server: Server) -> None:
    task = await create(server, STEPS, steps=1000, step_ms=1000)
    async with Client(server.url) as client:
        await taken_up(client, task).cancel()
        # The server dies at once, whatever the guest has seen of it.
        server.kill()
    server.start()
    async with Client(server.url) as client:
        assert (await taken_up(client, task).wait(timeout=60)).status == "cancelled"


async def test_a_question_is_answered_after_a_restart_and_the_answer_kept(server: Server) -> None:
    asked: list[str] = []

    async def answer(message: str, *_: Any) -> dict[str, Any]:
        asked.append(message)
        return {"confirm": True, "notes": "a window seat"}

    task = await create(server, ASKS, destination="Oslo")
    # Only who can answer is asked.
    async with Client(server.url, elicitation_handler=answer) as client:
        waiting = await taken_up(client, task).wait(state="input_required", timeout=60)
        [(key, request)] = (waiting.input_requests or {}).items()
    restart(server)
    async with Client(server.url, elicitation_handler=answer) as client:
        again = await taken_up(client, task).status()
        assert again.input_requests == {key: request}, "the same question"
        result = await taken_up(client, task).result()
        assert result.structured_content["booked"] is True
        assert result.structured_content["notes"] == "a window seat"
    assert asked == [request["params"]["message"]], "asked once"
    restart(server)
    async with Client(server.url) as client:
        status = await taken_up(client, task).status()
        assert (status.status, status.input_requests) == ("completed", None)


async def test_a_plain_call_is_driven_to_its_end(server: Server) -> None:
    async with Client(server.url) as client:
        result = await client.call_tool(STEPS, {"steps": 3, "step_ms": 10}, meta=LINK)
        assert result.structured_content == {"steps": 3}
