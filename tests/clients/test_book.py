"""A book is read while it is written, across a `kill -9` of the server, and after its writing was cancelled."""

from __future__ import annotations

import anyio.to_thread
from conftest import Connect, mode_of
from longhaul_server import Server
from peer import Peer, Updates, over_http
from tasks import ENDED, document, ended, outputs_of, start, structured, task_id


def chapter(uri: str, number: int) -> str:
    return f"{uri}/output/chapter-{number}"


async def begun(peer: Peer, uri: str, number: int, updates: Updates) -> bytes:
    """What there is of a chapter as soon as there is something. The updates are those of that chapter alone."""
    outputs = {output["uri"]: output for output in outputs_of(await document(peer, uri))}
    text = (await peer.read(chapter(uri, number))).data if chapter(uri, number) in outputs else b""
    while not text:
        assert await updates.next() == chapter(uri, number)
        text = (await peer.read(chapter(uri, number))).data
    return text


async def test_a_subscriber_reads_the_first_chapter_while_the_third_is_written(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "book_agent", {"topic": "rivers", "chapters": 3, "pause_ms": 100})
        async with peer.updates(chapter(uri, 3)) as updates:
            third = await begun(peer, uri, 3, updates)
            first = (await peer.read(chapter(uri, 1))).data
            task = await document(peer, uri)
            states = {output["name"]: output["done"] for output in task["outputs"]}
            assert task["state"] not in ENDED
            assert (states["chapter-1"], states["chapter-3"]) == (True, False)
        assert (await ended(peer, uri))["state"] == "completed"
        assert (await peer.read(chapter(uri, 1))).data == first
        whole = (await peer.read(chapter(uri, 3))).data
        assert whole.startswith(third) and len(whole) > len(third)


async def test_finished_chapters_survive_a_kill_in_the_second(own_server: Server, way: str) -> None:
    # An hour after each piece would be too long for a mistake; this is long enough to die in.
    arguments = {"topic": "winter", "chapters": 3, "pause_ms": 300}
    mode = mode_of(way)
    # A client whose server dies may end with an error of its own, which is not what is asked here.
    peer_context = over_http(mode, own_server.url)
    peer = await peer_context.__aenter__()
    uri = await start(peer, "book_agent", arguments)
    async with peer.updates(chapter(uri, 2)) as updates:
        second = await begun(peer, uri, 2, updates)
        before = {name: (await peer.read(f"{uri}/output/{name}")).data for name in ("outline", "chapters", "chapter-1")}
    assert (await document(peer, uri))["state"] not in ENDED
    await peer_context.__aexit__(None, None, None)
    await anyio.to_thread.run_sync(own_server.kill)
    await anyio.to_thread.run_sync(own_server.start)

    async with over_http(mode, own_server.url) as peer:
        for name, text in before.items():
            assert (await peer.read(f"{uri}/output/{name}")).data == text, name
        async with peer.updates(uri, chapter(uri, 2)) as updates:
            again = (await peer.read(chapter(uri, 2))).data
            assert again.startswith(second), "never shorter"
            task = await document(peer, uri)
            while task["state"] not in ENDED:
                if await updates.next() == uri:
                    task = await document(peer, uri)
                    continue
                longer = (await peer.read(chapter(uri, 2))).data
                assert longer.startswith(again), "never shorter"
                again = longer
        assert (task["state"], task["attempt"]) == ("completed", 2)
        for name, text in before.items():
            assert (await peer.read(f"{uri}/output/{name}")).data == text, name

        # As if nothing had happened.
        undisturbed = await start(peer, "book_agent", {**arguments, "pause_ms": 1})
        assert (await ended(peer, undisturbed))["result"] == (await ended(peer, uri))["result"]
        for output in task["outputs"]:
            text = (await peer.read(f"{uri}/output/{output['name']}")).data
            assert (await peer.read(f"{undisturbed}/output/{output['name']}")).data == text, output["name"]
    own_server.stop()


async def test_a_book_cancelled_in_the_third_chapter_keeps_the_first_two(own_server: Server, way: str) -> None:
    mode = mode_of(way)
    async with over_http(mode, own_server.url) as peer:
        uri = await start(peer, "book_agent", {"topic": "harbours", "chapters": 3, "pause_ms": 100})
        async with peer.updates(chapter(uri, 3)) as updates:
            await begun(peer, uri, 3, updates)
        await structured(peer, "task_cancel", task_id=task_id(uri))
        task = await ended(peer, uri)
        assert task["state"] == "cancelled"
        kept = {number: (await peer.read(chapter(uri, number))).data for number in (1, 2)}
        assert kept[1].startswith(b"## Chapter 1: ") and kept[2].startswith(b"## Chapter 2: ")
    await anyio.to_thread.run_sync(own_server.stop)
    await anyio.to_thread.run_sync(own_server.start)

    async with over_http(mode, own_server.url) as peer:
        assert (await document(peer, uri))["state"] == "cancelled"
        for number, text in kept.items():
            assert (await peer.read(chapter(uri, number))).data == text
            output = await structured(peer, "task_output", task_id=task_id(uri), name=f"chapter-{number}")
            assert (output["text"].encode(), output["bytes"], output["done"]) == (text, len(text), True)
    own_server.stop()
