"""`notifications/resources/updated`: none before its commit, and the last change is always told.

The clients here read when they are told to and at no other time, so that a change which is never told, or told
before it can be read, leaves them waiting.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import anyio
from conftest import Connect
from peer import CLASSIC
from tasks import ENDED, document, ended, outputs_of, start, structured, task_id


async def test_the_last_change_is_always_told(connect: Connect) -> None:
    async with connect() as peer:
        for step_ms in (0, 1, 3, 10, 30):
            uri = await start(peer, "long_running_agent", {"steps": 5, "step_ms": step_ms})
            async with peer.updates(uri) as updates:
                # What happened before the subscription is in this reading.
                task = await document(peer, uri)
                while task["state"] not in ENDED:
                    assert await updates.next() == uri
                    later = await document(peer, uri)
                    assert later["steps"] >= task["steps"]
                    assert updated_at(later) >= updated_at(task)
                    task = later
            assert (task["state"], task["progress"]) == ("completed", {"done": 5, "total": 5})


def updated_at(task: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(task["updated_at"])


async def test_many_subscribers_each_see_the_end(connect_http: Connect) -> None:
    async def follow(number: int) -> None:
        async with connect_http() as peer:
            uri = await start(peer, "book_agent", {"topic": f"topic {number}", "chapters": 2, "pause_ms": number})
            async with peer.updates(uri, f"{uri}/result") as updates:
                task = await document(peer, uri)
                while task["state"] not in ENDED:
                    if await updates.next() == uri:
                        task = await document(peer, uri)
            assert task["state"] == "completed"
            await peer.read(f"{uri}/result")

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(follow, number)


async def test_an_output_is_told_once_it_can_be_read_and_to_its_last_byte(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "book_agent", {"topic": "tides", "chapters": 3, "pause_ms": 60})
        first = await document(peer, uri)
        chapters = [f"{uri}/output/chapter-{number}" for number in (1, 2, 3)]
        # The last of them cannot be there yet: the others take their time.
        assert chapters[2] not in [output["uri"] for output in outputs_of(first)]
        async with peer.updates(uri, *chapters) as updates:
            seen: dict[str, bytes] = {}
            for output in outputs_of(await document(peer, uri)):
                if output["uri"] in chapters:
                    seen[output["uri"]] = (await peer.read(output["uri"])).data
            task = first
            while task["state"] not in ENDED or not complete(task, seen, chapters):
                changed = await updates.next()
                if changed == uri:
                    task = await document(peer, uri)
                    continue
                # Told before its commit, it would not be there.
                text = (await peer.read(changed)).data
                assert text.startswith(seen.get(changed, b"")), "what was published stays"
                seen[changed] = text
        assert task["state"] == "completed"


def complete(task: dict[str, Any], seen: dict[str, bytes], chapters: list[str]) -> bool:
    """Whether what was read when it was told is all there is."""
    sizes = {output["uri"]: output["bytes"] for output in task["outputs"]}
    return all(len(seen.get(uri, b"")) == sizes[uri] for uri in chapters)


async def test_a_cancellation_is_told(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 1, "step_ms": 3_600_000})
        async with peer.updates(uri) as updates:
            await structured(peer, "task_cancel", task_id=task_id(uri))
            task = await document(peer, uri)
            while task["state"] not in ENDED:
                assert await updates.next() == uri
                task = await document(peer, uri)
            assert task["state"] == "cancelled"


async def test_a_lost_connection_cancels_nothing(connect_http: Connect) -> None:
    async with connect_http() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 3, "step_ms": 100})
    async with connect_http() as peer:
        assert (await ended(peer, uri))["result"] == {"steps": 3}


async def test_giving_an_inline_call_up(connect: Connect, way: str) -> None:
    """It cancels the task where the client says so, unless a key was given to come back with."""
    arguments = {"steps": 20, "step_ms": 50}
    for key in (None, f"{way}-given-up"):
        scope = anyio.CancelScope()

        async def give_up(_done: float, _total: float | None, _message: str | None) -> None:
            scope.cancel()

        async with connect() as peer:
            meta = {"longhaul/idempotency-key": key} if key else None
            with scope:
                await peer.call("long_running_agent", arguments, meta=meta, on_progress=give_up)
            assert scope.cancelled_caught
            listed = await structured(peer, "task_list", tool="long_running_agent", limit=1)
            task = await ended(peer, listed["tasks"][0]["uri"])
            assert task["arguments"] == arguments
            # The client of `mcp` 1 just hangs up, which says nothing.
            assert task["state"] == ("cancelled" if not CLASSIC and key is None else "completed")
