"""`serve --stdio`: many hosts, one server, and work that outlives them all."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import anyio
import pytest
from longhaul_server import STOP_SECONDS, Server
from peer import Ended, Refused
from stdio_hosts import Hosts, answered, handshake, spawn, wait_for_end
from tasks import ENDED, INLINE, document, ended, start, structured, task_id

SLOW = {"steps": 40, "step_ms": 100}


async def test_every_task_outlives_its_host_and_all_hosts_see_it(hosts: Hosts) -> None:
    async with AsyncExitStack() as stack:
        three = [await stack.enter_async_context(hosts.one()) for _ in range(3)]
        server = hosts.server()["pid"]
        uris = [await start(host.peer, "long_running_agent", SLOW) for host in three]
        while three:
            for host in three:
                for uri in uris:
                    assert (await document(host.peer, uri))["tool"] == "long_running_agent"
            three.pop(0).kill()
        # It went on alone, and this one finds it.
        async with hosts.one() as host:
            assert hosts.server()["pid"] == server
            for uri in uris:
                task = await ended(host.peer, uri)
                assert (task["state"], task["attempt"], task["result"]) == ("completed", 1, {"steps": 40})


async def test_hosts_that_start_at_once_share_one_server(hosts: Hosts) -> None:
    three = [spawn(hosts) for _ in range(3)]
    for host in three:
        handshake(host)
    for host in three:
        assert answered(host)["result"]["serverInfo"]["name"] == "longhaul"
    server = hosts.server()
    # Those that were not needed may still be ending.
    assert server["pid"] in hosts.servers()
    descriptor = os.pidfd_open(server["pid"])
    for host in three:
        host.communicate(timeout=STOP_SECONDS)
        assert host.returncode == 0
    # It ends once nobody needs it.
    wait_for_end(descriptor)
    assert not (hosts.folder / "data" / "server.json").exists()
    assert not (hosts.folder / "data" / "server.sock").exists()


async def test_a_listener_loses_its_server_and_misses_nothing(hosts: Hosts) -> None:
    async with hosts.one() as host:
        peer = host.peer
        uri = await start(peer, "long_running_agent", SLOW)
        kills, lost = 0, 0
        task = await document(peer, uri)
        while task["state"] not in ENDED:
            async with peer.updates(uri) as updates:
                # What happened before it listened is in this reading.
                task = await document(peer, uri)
                try:
                    while task["state"] not in ENDED:
                        assert await updates.next() == uri
                        task = await document(peer, uri)
                        # One that waits for its tool to be loaded has begun no attempt that could be interrupted.
                        is_under_way = task["state"] == "running"
                        done = task.get("progress", {"done": 0})["done"]
                        if is_under_way and done >= 5 + 10 * kills and kills < 2:
                            hosts.kill_server()
                            kills += 1
                except Ended:
                    lost += 1
        assert (task["state"], task["progress"]) == ("completed", {"done": 40, "total": 40})
        assert (kills, task["attempt"]) == (2, 3)
        # A session's subscription holds, a listener of the newer protocol is told to listen again.
        assert lost == (2 if peer.modern else 0)


async def test_a_call_that_loses_its_server_says_so_and_its_task_goes_on(hosts: Hosts) -> None:
    async with hosts.one() as host:
        peer = host.peer

        async def kill_half_way(done: float, _total: float | None, _message: str | None) -> None:
            if done == 5:
                hosts.kill_server()

        with pytest.raises(Refused) as refused:
            await peer.call("long_running_agent", SLOW, meta=INLINE, on_progress=kill_half_way)
        assert "task_list" in refused.value.message
        [task] = (await structured(peer, "task_list"))["tasks"]
        # A wait is asked again by itself.
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, hosts.kill_server)
            task = await ended(peer, task["uri"])
        assert (task["state"], task["result"]) == ("completed", {"steps": 40})


async def test_a_private_server_is_killed_and_its_tasks_go_on(hosts: Hosts) -> None:
    async with hosts.one("--private") as host:
        assert hosts.server()["pid"] == host.pid
        uri = await start(host.peer, "long_running_agent", {"steps": 5, "step_ms": 1500})
        for more in ([], ["--private"]):
            second = spawn(hosts, *more)
            _, said = second.communicate(timeout=STOP_SECONDS)
            assert second.returncode != 0
            assert f"pid {host.pid}".encode() in said and b"--private" in said, said
        host.kill()
    async with hosts.one("--private") as host:
        task = await ended(host.peer, uri)
        assert (task["state"], task["attempt"], task["result"]) == ("completed", 2, {"steps": 5})
    assert hosts.servers() == []


async def test_a_server_over_http_is_used_where_it_runs(hosts: Hosts, binary, guests) -> None:
    server = Server(binary, guests, hosts.folder)
    server.start()
    try:
        async with hosts.one() as host:
            uri = await start(host.peer, "long_running_agent", {"steps": 2, "step_ms": 1})
            assert (await ended(host.peer, uri))["state"] == "completed"
            assert hosts.servers() == []
            # When it is gone for good, another takes its place.
            server.kill()
            assert task_id(uri) in [task["id"] for task in (await structured(host.peer, "task_list"))["tasks"]]
            assert hosts.servers() == [hosts.server()["pid"]]
    finally:
        server.abandon()
