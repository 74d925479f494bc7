"""One face for the clients under test, so that every scenario runs with each of them.

What they return is turned into the JSON of the wire. Nothing is checked here that the client checks itself: a tool is
called by its own `call_tool`, which validates `structuredContent` against the tool's output schema.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import anyio
import mcp

CLASSIC = version("mcp").startswith("1.")

# How clients are called in the names of the tests: transport, then mode.
WAYS = ["http-classic", "stdio-classic"] if CLASSIC else [
    "http-auto", "http-legacy", "http-2026-07-28", "stdio-auto", "stdio-legacy",
]  # fmt: skip
HTTP_WAYS = [way for way in WAYS if way.startswith("http")]
STDIO_WAYS = [way for way in WAYS if way.startswith("stdio")]

if CLASSIC:
    # A client of mcp 1 ends altogether where its connection does before a response begins.
    from httpx import TransportError as Broken
else:
    Broken = ConnectionError

OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass
class Contents:
    data: bytes
    mime_type: str | None

    @property
    def text(self) -> str:
        return self.data.decode()


class Ended(Exception):
    """The server tells no more changes: listen again and read."""


class Updates(Protocol):
    async def next(self) -> str:
        """The URI of the next `resources/updated`."""


class Peer(Protocol):
    # Whether it speaks 2026-07-28.
    modern: bool
    # The texts of all log messages so far.
    logs: list[str]

    async def list_tools(self) -> list[dict[str, Any]]: ...

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]: ...

    async def read(self, uri: str) -> Contents: ...

    async def list_resources(self) -> list[dict[str, Any]]: ...

    async def list_templates(self) -> list[dict[str, Any]]: ...

    async def complete(
        self, template: str, argument: tuple[str, str], context: dict[str, str] | None = None
    ) -> list[str]: ...

    def updates(self, *uris: str) -> AbstractAsyncContextManager[Updates]:
        """Subscribed when entered."""


@asynccontextmanager
async def over_http(mode: str, url: str) -> AsyncIterator[Peer]:
    if CLASSIC:
        from mcp.client.streamable_http import streamable_http_client

        async with streamable_http_client(url) as (read, write, _), _ClassicPeer.enter(read, write) as peer:
            yield peer
    else:
        async with _Peer.enter(mode, url) as peer:
            yield peer


@asynccontextmanager
async def over_stdio(
    mode: str, command: str, arguments: list[str], env: dict[str, str], log: Any
) -> AsyncIterator[Peer]:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    transport = stdio_client(StdioServerParameters(command=command, args=arguments, env=env), errlog=log)
    if CLASSIC:
        closes = False
        try:
            async with transport as (read, write), _ClassicPeer.enter(read, write) as peer:
                yield peer
                closes = True
        except BaseExceptionGroup as group:
            # It dies of a notification that comes while it closes.
            if not closes or group.split(anyio.BrokenResourceError)[1]:
                raise
    else:
        async with _Peer.enter(mode, transport) as peer:
            yield peer


def _wire(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _contents(result: Any) -> Contents:
    [contents] = _wire(result)["contents"]
    data = base64.b64decode(contents["blob"]) if "blob" in contents else contents["text"].encode()
    return Contents(data, contents.get("mimeType"))


class _Inbox:
    """Notifications of a session, for whoever asks for them."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[str](float("inf"))
        self.logs: list[str] = []

    async def take(self, message: Any) -> None:
        message = getattr(message, "root", message)
        # What `mcp` 1 says to the answer of a call that was given up.
        if isinstance(message, Exception) and "unknown request ID" not in str(message):
            raise message
        if getattr(message, "method", None) == "notifications/resources/updated":
            self._send.send_nowait(str(message.params.uri))
        if getattr(message, "method", None) == "notifications/message":
            self.logs.append(message.params.data)

    async def next(self) -> str:
        return await self._receive.receive()

    def empty(self) -> None:
        while self._receive.statistics().current_buffer_used:
            self._receive.receive_nowait()


class _Peer:
    """The client of `mcp` 2."""

    def __init__(self, client: Any, inbox: _Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self.modern = client.protocol_version == "2026-07-28"
        self.logs = inbox.logs

    @classmethod
    @asynccontextmanager
    async def enter(cls, mode: str, server: Any) -> AsyncIterator[_Peer]:
        inbox = _Inbox()
        async with mcp.Client(server, mode=mode, message_handler=inbox.take) as client:
            peer = cls(client, inbox)
            # `auto` is to find the newer protocol.
            assert peer.modern == (mode != "legacy"), client.protocol_version
            yield peer

    async def list_tools(self) -> list[dict[str, Any]]:
        return [_wire(tool) for tool in (await _asked(self._client.list_tools(cache_mode="refresh"))).tools]

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        return _wire(await _asked(self._client.call_tool(tool, arguments, progress_callback=on_progress, meta=meta)))

    async def read(self, uri: str) -> Contents:
        return _contents(await _asked(self._client.read_resource(uri)))

    async def list_resources(self) -> list[dict[str, Any]]:
        return [_wire(resource) for resource in (await _asked(self._client.list_resources())).resources]

    async def list_templates(self) -> list[dict[str, Any]]:
        listed = await _asked(self._client.list_resource_templates())
        return [_wire(template) for template in listed.resource_templates]

    async def complete(
        self, template: str, argument: tuple[str, str], context: dict[str, str] | None = None
    ) -> list[str]:
        from mcp_types import ResourceTemplateReference

        name, value = argument
        reference = ResourceTemplateReference(uri=template)
        completed = await _asked(self._client.complete(reference, {"name": name, "value": value}, context))
        return completed.completion.values

    @asynccontextmanager
    async def updates(self, *uris: str) -> AsyncIterator[Updates]:
        if not self.modern:
            async with _subscribed(self._inbox, uris, self._client.subscribe_resource, self._client.unsubscribe_resource):
                yield self._inbox
            return
        async with self._client.listen(resource_subscriptions=uris) as subscription:
            assert set(subscription.honored.resource_subscriptions or []) == set(uris)
            yield _Listening(subscription)


class _Listening:
    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def next(self) -> str:
        async for event in self._subscription:
            return event.uri
        raise Ended


class _ClassicPeer:
    """The client of `mcp` 1, which most hosts have."""

    modern = False

    def __init__(self, session: Any, inbox: _Inbox) -> None:
        self._session = session
        self._inbox = inbox
        self.logs = inbox.logs

    @classmethod
    @asynccontextmanager
    async def enter(cls, read: Any, write: Any) -> AsyncIterator[_ClassicPeer]:
        inbox = _Inbox()
        async with mcp.ClientSession(read, write, message_handler=inbox.take) as session:
            await session.initialize()
            yield cls(session, inbox)

    async def list_tools(self) -> list[dict[str, Any]]:
        return [_wire(tool) for tool in (await _asked(self._session.list_tools())).tools]

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        return _wire(await _asked(self._session.call_tool(tool, arguments, progress_callback=on_progress, meta=meta)))

    async def read(self, uri: str) -> Contents:
        return _contents(await _asked(self._session.read_resource(uri)))

    async def list_resources(self) -> list[dict[str, Any]]:
        return [_wire(resource) for resource in (await _asked(self._session.list_resources())).resources]

    async def list_templates(self) -> list[dict[str, Any]]:
        listed = await _asked(self._session.list_resource_templates())
        return [_wire(template) for template in listed.resourceTemplates]

    async def complete(
        self, template: str, argument: tuple[str, str], context: dict[str, str] | None = None
    ) -> list[str]:
        from mcp.types import ResourceTemplateReference

        name, value = argument
        reference = ResourceTemplateReference(type="ref/resource", uri=template)
        completed = await _asked(self._session.complete(reference, {"name": name, "value": value}, context))
        return completed.completion.values

    @asynccontextmanager
    async def updates(self, *uris: str) -> AsyncIterator[Updates]:
        async with _subscribed(self._inbox, uris, self._session.subscribe_resource, self._session.unsubscribe_resource):
            yield self._inbox


@asynccontextmanager
async def _subscribed(inbox: _Inbox, uris: tuple[str, ...], subscribe: Any, unsubscribe: Any) -> AsyncIterator[None]:
    inbox.empty()
    for uri in uris:
        await _asked(subscribe(uri))
    yield
    for uri in uris:
        await _asked(unsubscribe(uri))


async def _asked(request: Awaitable[Any]) -> Any:
    try:
        return await request
    except _error_of_the_client() as error:
        raise Refused(error.error.code, error.error.message) from error


def _error_of_the_client() -> type[Exception]:
    return mcp.McpError if CLASSIC else mcp.MCPError
