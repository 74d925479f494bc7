"""What the scenarios do with tasks."""

from __future__ import annotations

import json
from typing import Any

from peer import Peer

ENDED = ("completed", "failed", "cancelled")
LINK = {"longhaul/reply": "link"}
INLINE = {"longhaul/reply": "inline"}


async def start(peer: Peer, tool: str, arguments: dict[str, Any], meta: dict[str, Any] = LINK) -> str:
    """Calls for a link, checks its form, and returns the task's URI."""
    answer = await peer.call(tool, arguments, meta=meta)
    return link_of(answer, tool)


def link_of(answer: dict[str, Any], tool: str) -> str:
    assert not answer.get("isError"), answer
    link = answer["structuredContent"]
    assert set(link) - {"asks"} == {"task_id", "uri", "state", "next"}, link
    task_id, uri = link["task_id"], link["uri"]
    assert uri == f"task://{task_id}"
    assert answer["_meta"]["longhaul/task"] == task_id
    [text, resource] = answer["content"]
    assert (resource["type"], resource["uri"]) == ("resource_link", uri)
    assert text["text"].startswith(f"Started {tool} as task {task_id}.")
    assert f'task_wait {{"task_id":"{task_id}"}}' in link["next"]
    assert link["next"] in text["text"]
    return uri


def task_id(uri: str) -> str:
    return uri.removeprefix("task://")


async def document(peer: Peer, uri: str) -> dict[str, Any]:
    contents = await peer.read(uri)
    assert contents.mime_type == "application/json"
    task = json.loads(contents.data)
    assert task["uri"] == uri
    return task


def outputs_of(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Fields that do not apply are left out."""
    return task.get("outputs", [])


async def ended(peer: Peer, uri: str) -> dict[str, Any]:
    """The document of the task once it has ended, as `task_wait` gives it."""
    while True:
        task = await structured(peer, "task_wait", task_id=task_id(uri))
        if task["state"] in ENDED:
            return task


async def structured(peer: Peer, tool: str, /, **arguments: Any) -> dict[str, Any]:
    answer = await peer.call(tool, arguments)
    assert "structuredContent" in answer, answer
    return answer["structuredContent"]


def text_of(answer: dict[str, Any]) -> str:
    return "\n".join(block["text"] for block in answer["content"] if block["type"] == "text")
