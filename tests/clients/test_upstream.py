"""Tools of a server that others wrote, as Longhaul's own durable tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from conftest import mode_of
from longhaul_server import Server, environment, person_environment
from peer import HTTP_WAYS, over_http
from tasks import document, ended, start, structured, task_id, text_of

MODE = mode_of(HTTP_WAYS[0])


@pytest.fixture
def shop(binary: Path, guests: Path, tmp_path: Path) -> Iterator[Server]:
    """A Longhaul that is configured to show the tools of the shop."""
    script = Path(__file__).with_name("shop.py")
    config = tmp_path / "config/longhaul"  # as `environment` has it
    config.mkdir(parents=True)
    (config / "longhaul.toml").write_text(
        f"""[servers.shop]
command = {json.dumps(sys.executable)}
args = [{json.dumps(str(script))}]
env = {{ SHOP_CALLS = {json.dumps(str(tmp_path / "calls"))} }}
expose = ["*"]
"""
    )
    server = Server(binary, guests, tmp_path)
    server.start()
    yield server
    server.abandon()
    print(server.log.read_text(errors="replace"))


async def test_a_foreign_tool_is_a_task_and_a_lost_answer_is_told(shop: Server, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    async with over_http(MODE, shop.url) as peer:
        [shown] = [tool for tool in await peer.list_tools() if tool["name"] == "shop_price"]
        assert shown["description"].startswith("What an article costs.") and "sandbox" in shown["description"]
        uri = await start(peer, "shop_price", {"article": "bread"})
        assert (await ended(peer, uri))["state"] == "completed"
        result = await structured(peer, "task_result", task_id=task_id(uri))
        assert result == {"result": 5}
        wrong = await peer.call("shop_price", {"article": 7})
        assert wrong["isError"] and "article" in text_of(wrong)
        uri = await start(peer, "shop_buy", {"article": "bread"})
        with anyio.fail_after(60):
            while "buy bread" not in calls.read_text():
                await anyio.sleep(0.01)
    await anyio.to_thread.run_sync(shop.kill)
    await anyio.to_thread.run_sync(shop.start)
    async with over_http(MODE, shop.url) as peer:
        task = await ended(peer, uri)
        assert (task["state"], task["reason"]) == ("failed", "unknown_outcome")
        assert calls.read_text().count("buy bread") == 1, "it was not bought twice"
        # Its owner looks, sees that it was not, and has it sent again.
        (tmp_path / "bread").touch()
        resolve = ["task", "resolve", task_id(uri), "--step", "0", "--resend", "--data", str(shop.folder / "data")]
        settled = subprocess.run([shop.binary, *resolve], env=person_environment(tmp_path), cwd=tmp_path, check=False)
        assert settled.returncode == 0
        assert (await ended(peer, uri))["state"] == "completed"
        assert (await document(peer, uri))["component"].startswith("mcp:shop/")
        assert calls.read_text().count("buy bread") == 2


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_call_is_withdrawn_there_when_its_task_is_cancelled_here(
    cancelled: bool, shop: Server, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"

    async def until_noted(line: str) -> None:
        with anyio.fail_after(60):
            while not calls.exists() or line not in calls.read_text():
                await anyio.sleep(0.01)

    async with over_http(MODE, shop.url) as peer:
        uri = await start(peer, "shop_order", {"article": "sofa"})
        await until_noted("order sofa")
        if cancelled:
            await structured(peer, "task_cancel", task_id=task_id(uri))
            assert (await ended(peer, uri))["state"] == "cancelled"
            await until_noted("withdrawn sofa")
            return
    # A stop of the server is no cancellation of the task.
    await anyio.to_thread.run_sync(shop.stop)
    await anyio.to_thread.run_sync(shop.start)
    async with over_http(MODE, shop.url) as peer:
        assert (await ended(peer, uri))["reason"] == "unknown_outcome"
