"""Bad input gets a clear answer, and the server goes on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import Connect
from longhaul_server import Server
from peer import Peer, Refused
from tasks import INLINE, start, structured, task_id, text_of

MAX_REQUEST_BYTES = 8 * 1024 * 1024
MAX_ARGUMENTS_BYTES = 4 * 1024 * 1024
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "0"},
    },
}


async def is_well(peer: Peer) -> None:
    answer = await peer.call("top_words", {"text": "well well", "n": 1})
    assert answer["structuredContent"] == {"result": [{"word": "well", "count": 2}]}


async def test_an_unknown_tool_is_named(connect: Connect) -> None:
    async with connect() as peer:
        with pytest.raises(Refused) as refused:
            await peer.call("book-agent", {"topic": "x"})
        assert refused.value.code == -32602
        assert "'book-agent'" in refused.value.message
        assert "'book_agent'" in refused.value.message, "the name that was meant"
        await is_well(peer)


@pytest.mark.parametrize(
    ("tool", "arguments", "parts"),
    [
        ("analyze", {"text": 5}, ["/text"]),
        ("analyze", {}, ["text"]),
        ("analyze", {"text": "x", "language": "en"}, ["language"]),
        ("top_words", {"text": "x", "n": -1}, ["/n"]),
        ("analyze_bytes", {"data": "no base64!"}, ["/data"]),
        ("book_agent", {"topic": "x", "chapters": 1000}, ["/chapters", "100"]),
        ("long_running_agent", {"steps": "many"}, ["/steps"]),
        ("task_status", {"task_id": "nonsense"}, ["nonsense"]),
        ("task_status", {}, ["task_id"]),
        ("task_output", {"task_id": "01990000-0000-7000-8000-000000000000", "name": "x"}, ["01990000-"]),
    ],
)
async def test_wrong_arguments_are_told_with_their_path(
    connect_http: Connect, tool: str, arguments: dict[str, Any], parts: list[str]
) -> None:
    async with connect_http() as peer:
        before = await newest(peer)
        answer = await peer.call(tool, arguments)
        assert answer["isError"], answer
        for part in parts:
            assert part in text_of(answer)
        assert await newest(peer) == before, "no task is made"
        await is_well(peer)


async def newest(peer: Peer) -> list[str]:
    # `is_well` makes tasks of its own, and so may whoever else uses the server; these are told apart by their tool.
    page = await structured(peer, "task_list", limit=1)
    return [task["id"] for task in page["tasks"]]


async def test_arguments_beyond_their_bound_are_refused(connect: Connect) -> None:
    async with connect() as peer:
        answer = await peer.call("analyze", {"text": "x" * (MAX_ARGUMENTS_BYTES + 1)})
        assert answer["isError"]
        assert str(MAX_ARGUMENTS_BYTES) in text_of(answer)
        await is_well(peer)


async def test_choices_in_meta_that_cannot_be_are_refused(connect: Connect) -> None:
    async with connect() as peer:
        for meta in (
            {"longhaul/reply": "tomorrow"},
            {**INLINE, "longhaul/inline-wait-seconds": -1},
            {"longhaul/idempotency-key": 7},
            # For this answer a client has to know the tasks extension.
            {"longhaul/reply": "task"},
        ):
            with pytest.raises(Refused) as refused:
                await peer.call("analyze", {"text": "x"}, meta=meta)
            assert refused.value.code == (-32021 if meta.get("longhaul/reply") == "task" else -32602)
        await is_well(peer)


async def test_a_task_that_has_not_failed_cannot_be_retried(connect: Connect) -> None:
    async with connect() as peer:
        uri = await start(peer, "long_running_agent", {"steps": 1, "step_ms": 3_600_000})
        answer = await peer.call("task_retry", {"task_id": task_id(uri)})
        assert answer["isError"]
        await structured(peer, "task_cancel", task_id=task_id(uri))


@pytest.fixture
def raw(server: Server) -> Iterator[Raw]:
    raw = Raw(server)
    yield raw
    # Whatever was sent: it is still there for others.
    assert raw.get("/healthz")[0] == 200
    assert raw.get("/readyz")[0] == 200
    assert raw.post(json.dumps(INITIALIZE).encode())[0] == 200


class Raw:
    """Requests that no client would send."""

    def __init__(self, server: Server) -> None:
        self.address = urlsplit(server.url).netloc

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        return self._request("GET", path, None, headers or {})

    def post(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        return self._request("POST", "/mcp", body, {**JSON_HEADERS, **(headers or {})})

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            chunked = not isinstance(body, bytes | None)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            else:
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders()
            try:
                for part in body if chunked else [body or b""]:
                    connection.send(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                if chunked:
                    connection.send(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                # A server need not read to the end what it refuses.
                pass
            response = connection.getresponse()
            # The rest of a stream is nobody's business here.
            return response.status, response.read1(65536)
        finally:
            connection.close()


def test_malformed_json_is_told_so(raw: Raw) -> None:
    for body in (b"", b"{", b'{"jsonrpc": "2.0", "id": 1, "method": }', b"\xff\xfe", b"{}{}"):
        status, answer = raw.post(body)
        assert status == 400, body
        assert json.loads(answer)["error"]["code"] == -32700, body


def test_json_that_is_no_request_is_told_so(raw: Raw) -> None:
    for body in (b"7", b"null", b"[]", b'{"method": 7}', b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}'):
        status, answer = raw.post(body)
        assert status == 400, body
        assert json.loads(answer)["error"]["code"] == -32600, body


def test_a_request_that_is_too_large_is_refused(raw: Raw) -> None:
    body = json.dumps({**INITIALIZE, "padding": "x" * MAX_REQUEST_BYTES}).encode()
    parts = (body[at : at + 65536] for at in range(0, len(body), 65536))
    for sent in (body, parts):
        status, answer = raw.post(sent)
        assert status == 413
        assert str(MAX_REQUEST_BYTES) in answer.decode()


def test_a_foreign_host_or_origin_is_refused(raw: Raw) -> None:
    body = json.dumps(INITIALIZE).encode()
    for host in ("evil.example", "evil.example:1919", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert raw.post(body, {"Host": host})[0] == 403, host
        assert raw.get("/metrics", {"Host": host})[0] == 403, host
    for origin in ("http://evil.example", "https://127.0.0.1.evil.example", "null", "http://evil.example:1919"):
        assert raw.post(body, {"Origin": origin})[0] == 403, origin
    for origin in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"):
        assert raw.post(body, {"Origin": origin})[0] == 200, origin


def test_a_session_that_is_not_known_is_not_found(raw: Raw) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    headers = {"Mcp-Session-Id": "0b5a9bd4-0000-4000-8000-000000000000", "MCP-Protocol-Version": "2025-11-25"}
    assert raw.post(body, headers)[0] == 404


def test_what_a_service_is_watched_by(raw: Raw) -> None:
    status, metrics = raw.get("/metrics")
    assert status == 200
    assert b"longhaul_tasks_submitted_total" in metrics
    assert raw.get("/nothing")[0] == 404
