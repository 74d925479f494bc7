"""Listing and calling tools. Each call is checked by the client against the tool's output schema."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from conftest import Connect
from jsonschema import Draft202012Validator
from peer import Refused
from tasks import INLINE, LINK, ended, link_of, start, structured, task_id, text_of

TASK_TOOLS = {"task_list", "task_status", "task_wait", "task_result", "task_output", "task_cancel", "task_retry"}
EXAMPLES = {"analyze", "analyze_bytes", "top_words", "compare", "book_agent", "long_running_agent"}


def fnv(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def whole_number(value: int) -> int | str:
    """As JSON has it without loss."""
    return value if value < 2**53 else str(value)


TEXT = "Two words,\r\ntwo lines\r\n"
STATS = {
    "bytes": 23,
    "chars": 23,
    "words": 4,
    "lines": 2,
    "line_ending": "crlf",
    "features": ["upper-case", "punctuation"],
    "mean_word_length": 4.0,
    "longest_word": "words",
    "frequencies": [{"word": "two", "count": 2}, {"word": "lines", "count": 1}, {"word": "words", "count": 1}],
    "fingerprint": whole_number(fnv(TEXT.encode())),
}
# What is no number is a text; an option without a value is left out.
NO_STATS = {
    "bytes": 0,
    "chars": 0,
    "words": 0,
    "lines": 0,
    "line_ending": "none",
    "features": [],
    "mean_word_length": "NaN",
    "frequencies": [],
    "fingerprint": whole_number(fnv(b"")),
}
TYPED_CALLS: list[tuple[str, dict[str, Any], Any]] = [
    ("analyze", {"text": TEXT}, STATS),
    ("analyze", {"text": ""}, NO_STATS),
    ("analyze_bytes", {"data": base64.b64encode(TEXT.encode()).decode()}, STATS),
    ("top_words", {"text": "a b b ccc ccc ccc", "n": 1}, {"result": [{"word": "ccc", "count": 3}]}),
    (
        "top_words",
        {"text": "a b b ccc ccc ccc", "n": 9, "min_length": 1},
        {"result": [{"word": "ccc", "count": 3}, {"word": "b", "count": 2}, {"word": "a", "count": 1}]},
    ),
    (
        "compare",
        {"a": "the small cat", "b": "the smart cats"},
        {
            "similarity": {"partial": 0.2},
            "common_words": ["the"],
            "length_difference": 1,
            "common_prefix": base64.b64encode(b"the sma").decode(),
            "first_difference": ["small", "smart"],
        },
    ),
    (
        "compare",
        {"a": "same", "b": "same"},
        {
            "similarity": "identical",
            "common_words": ["same"],
            "length_difference": 0,
            "common_prefix": base64.b64encode(b"same").decode(),
        },
    ),
]


async def test_tools_are_listed_sorted_and_with_sound_schemas(connect: Connect) -> None:
    async with connect() as peer:
        tools = await peer.list_tools()
        names = [tool["name"] for tool in tools]
        assert names == sorted(names)
        assert set(names) >= EXAMPLES | TASK_TOOLS
        for tool in tools:
            assert tool["description"], tool
            Draft202012Validator.check_schema(tool["inputSchema"])
            assert tool["inputSchema"]["type"] == "object"
            if tool["name"] in EXAMPLES:
                # Else the client would have nothing to check a result with.
                assert tool["outputSchema"]["type"] == "object", tool
            Draft202012Validator.check_schema(tool.get("outputSchema", {}))
        assert await peer.list_tools() == tools


async def test_typed_tools_answer_inline_and_as_link(connect: Connect) -> None:
    async with connect() as peer:
        for tool, arguments, expected in TYPED_CALLS:
            for meta in (None, INLINE):
                answer = await peer.call(tool, arguments, meta=meta)
                assert not answer.get("isError"), answer
                assert answer["structuredContent"] == expected
                assert json.loads(text_of(answer)) == expected.get("result", expected)
                assert (await structured(peer, "task_status", task_id=answer["_meta"]["longhaul/task"]))["tool"] == tool

            uri = await start(peer, tool, arguments)
            task = await ended(peer, uri)
            assert (task["state"], task["result"]) == ("completed", expected)
            assert await structured(peer, "task_result", task_id=task_id(uri)) == expected


async def test_an_error_of_the_tools_own_completes_the_task(connect: Connect) -> None:
    no_text = {"data": base64.b64encode(b"ab\xff").decode()}
    async with connect() as peer:
        answer = await peer.call("analyze_bytes", no_text)
        assert answer["isError"]
        assert "not UTF-8 from byte 2 on" in text_of(answer)

        uri = await start(peer, "analyze_bytes", no_text)
        assert (await ended(peer, uri))["state"] == "completed"
        answer = await peer.call("task_result", {"task_id": task_id(uri)})
        assert answer["isError"]
        assert "not UTF-8 from byte 2 on" in text_of(answer)


async def test_agents_answer_inline_and_as_link(connect: Connect) -> None:
    async with connect() as peer:
        steps = {"steps": 3, "step_ms": 1}
        answer = await peer.call("long_running_agent", steps)
        assert answer["structuredContent"] == {"steps": 3}
        assert text_of(answer) == "Completed 3 steps"
        uri = await start(peer, "long_running_agent", steps)
        assert (await ended(peer, uri))["result"] == {"steps": 3}

        book = {"topic": "bees", "chapters": 2, "pause_ms": 1}
        uri = link_of(await peer.call("book_agent", book), "book_agent")
        by_link = (await ended(peer, uri))["result"]
        inline = await peer.call("book_agent", book, meta=INLINE)
        assert inline["structuredContent"] == by_link
        assert len(by_link["chapters"]) == 2


async def test_an_inline_call_reports_progress(connect: Connect) -> None:
    reports: list[tuple[float, float | None, str | None]] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        reports.append((done, total, message))

    async with connect() as peer:
        answer = await peer.call("long_running_agent", {"steps": 8, "step_ms": 40}, on_progress=report)
        assert answer["structuredContent"] == {"steps": 8}
    done = [done for done, _, _ in reports]
    assert done == sorted(set(done)), "the protocol wants progress to grow"
    assert {1, 2, 3, 4, 5, 6, 7, 8} <= set(done), reports
    assert reports[-1] == (8, 8, "step 8 of 8")


async def test_an_inline_call_that_takes_long_turns_into_a_link(connect: Connect) -> None:
    async with connect() as peer:
        meta = {**INLINE, "longhaul/inline-wait-seconds": 1}
        answer = await peer.call("long_running_agent", {"steps": 3, "step_ms": 600}, meta=meta)
        uri = link_of(answer, "long_running_agent")
        assert (await ended(peer, uri))["result"] == {"steps": 3}


async def test_an_idempotency_key_makes_it_the_same_call(connect: Connect, request: pytest.FixtureRequest) -> None:
    # The server may be shared with the other ways of this test.
    meta = {**LINK, "longhaul/idempotency-key": request.node.name}
    steps = {"steps": 2, "step_ms": 1}
    async with connect() as peer:
        first = await start(peer, "long_running_agent", steps, meta=meta)
        assert await start(peer, "long_running_agent", steps, meta=meta) == first
        assert (await ended(peer, first))["state"] == "completed"
        # For as long as the task lives, and however it is to be answered.
        assert await start(peer, "long_running_agent", steps, meta=meta) == first
        inline = await peer.call("long_running_agent", steps, meta={**meta, **INLINE})
        assert inline["_meta"]["longhaul/task"] == task_id(first)
        assert inline["structuredContent"] == {"steps": 2}
        with pytest.raises(Refused) as refused:
            await peer.call("long_running_agent", {"steps": 3, "step_ms": 1}, meta=meta)
        assert refused.value.code == -32602


async def test_task_tools_for_hosts_that_know_neither_tasks_nor_resources(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 4, "step_ms": 300})
        identity = {"task_id": task_id(uri)}
        status = await structured(peer, "task_status", **identity)
        assert status["state"] in ("queued", "running", "waiting")
        early = await peer.call("task_result", identity)
        assert early["isError"]
        assert status["id"] in text_of(early)
        # It does not outlast its time.
        assert (await structured(peer, "task_wait", **identity, seconds=0))["state"] in ("queued", "running", "waiting")
        assert (await ended(peer, uri))["result"] == {"steps": 4}
        assert await structured(peer, "task_result", **identity) == {"steps": 4}
        log = await structured(peer, "task_output", **identity, name="log")
        assert log["done"]
        listed = await structured(peer, "task_list", tool="long_running_agent", state="completed", limit=100)
        assert status["id"] in [task["id"] for task in listed["tasks"]]


async def test_a_cancelled_task_can_be_retried(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 1, "step_ms": 3_600_000})
        identity = {"task_id": task_id(uri)}
        await structured(peer, "task_cancel", **identity, reason="changed my mind")
        task = await ended(peer, uri)
        assert task["state"] == "cancelled"
        assert "changed my mind" in task["error"]["message"]
        assert "longhaul task retry" in task["error"]["next"]
        # Once more is no error.
        assert (await structured(peer, "task_cancel", **identity))["state"] == "cancelled"

        task = await structured(peer, "task_retry", **identity)
        assert (task["id"], task["attempt"]) == (task_id(uri), 2)
        assert task["state"] not in ("cancelled", "failed")
        await structured(peer, "task_cancel", **identity)
        assert (await ended(peer, uri))["state"] == "cancelled"


async def test_task_lists_have_pages(connect: Connect) -> None:
    async with connect() as peer:
        uris = [await start(peer, "analyze", {"text": f"text {number}"}) for number in range(5)]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while len(seen) < 5:
            page = await structured(peer, "task_list", tool="analyze", limit=2, **cursor)
            assert 0 < len(page["tasks"]) <= 2
            seen += [task["uri"] for task in page["tasks"]]
            cursor = {"cursor": page["next_cursor"]} if len(seen) < 5 else {}
        # The newest first.
        assert seen[:5] == uris[::-1]
