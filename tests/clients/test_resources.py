"""Reading what a task has made, as resources and by `task_output`."""

from __future__ import annotations

import base64
import json

import pytest
from conftest import Connect
from peer import Refused
from tasks import document, ended, start, structured, task_id

BOOK = {"topic": "lighthouses", "chapters": 2, "pause_ms": 1}
TEMPLATES = {"task://{id}", "task://{id}/result", "task://{id}/output/{name}", "task://{id}/log"}


async def test_a_task_its_result_outputs_and_log_can_be_read(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "book_agent", BOOK)
        # The link resolves as soon as it is given.
        first = await document(peer, uri)
        assert (first["id"], first["tool"]) == (task_id(uri), "book_agent")
        assert first["component"].startswith("blake3:")

        result = (await ended(peer, uri))["result"]
        task = await document(peer, uri)
        assert (task["state"], task["progress"]) == ("completed", {"done": 2, "total": 2})
        assert [output["name"] for output in task["outputs"]] == ["outline", "chapters", "chapter-1", "chapter-2"]
        for output in task["outputs"]:
            read = await peer.read(output["uri"])
            assert (len(read.data), read.mime_type) == (output["bytes"], output["mime_type"])
        titles = json.loads((await peer.read(f"{uri}/output/chapters")).data)
        assert titles == result["chapters"]
        assert (await peer.read(f"{uri}/output/chapter-1")).text.startswith(f"## Chapter 1: {titles[0]}\n")
        assert task["result_uri"] == f"{uri}/result"
        assert "Wrote 2 chapters on lighthouses" in (await peer.read(task["result_uri"])).text
        await peer.read(task["log_uri"])


async def test_a_typed_result_reads_as_json(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "analyze", {"text": "one two"})
        result = (await ended(peer, uri))["result"]
        read = await peer.read(f"{uri}/result")
        assert json.loads(read.data) == result


async def test_an_output_is_read_in_parts(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "book_agent", {**BOOK, "topic": "Lübeck"})
        await ended(peer, uri)
        whole = (await peer.read(f"{uri}/output/chapter-1")).data
        parts, offset = b"", 0
        while offset < len(whole):
            part = await structured(
                peer, "task_output", task_id=task_id(uri), name="chapter-1", offset=offset, limit=101
            )
            assert part["bytes"] == len(whole) and part["done"]
            read = part["text"].encode() if "text" in part else base64.b64decode(part["base64"])
            assert 0 < len(read) <= 101
            parts, offset = parts + read, offset + len(read)
        assert parts == whole


async def test_templates_lists_and_completions_lead_to_a_task(connect: Connect) -> None:
    async with connect() as peer:
        assert {template["uriTemplate"] for template in await peer.list_templates()} >= TEMPLATES
        uri = await start(peer, "book_agent", BOOK)
        await ended(peer, uri)
        assert uri in [resource["uri"] for resource in await peer.list_resources()]
        assert task_id(uri) in await peer.complete("task://{id}", ("id", task_id(uri)[:30]))
        context = {"id": task_id(uri)}
        names = await peer.complete("task://{id}/output/{name}", ("name", "chapter-"), context)
        assert sorted(names) == ["chapter-1", "chapter-2"]


async def test_what_is_not_there_is_told_so(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 1, "step_ms": 3_600_000})
        for missing in (
            "task://01990000-0000-7000-8000-000000000000",
            "task://nonsense",
            "file:///etc/passwd",
            f"{uri}/result",
            f"{uri}/output/none",
            f"{uri}/more",
        ):
            with pytest.raises(Refused) as refused:
                await peer.read(missing)
            assert refused.value.code == (-32602 if peer.modern else -32002), missing
            assert missing.rsplit("/output/")[-1] in refused.value.message
        await structured(peer, "task_cancel", task_id=task_id(uri))
