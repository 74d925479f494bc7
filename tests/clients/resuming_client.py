"""A client of `mcp` 1 that can be killed: it calls `long_running_agent` inline, and says in a line of JSON what it
gets, each message before the token to come back with. With --session and --token it goes on with such a call.

Not `ClientSession`, which keeps to itself when a message was taken and when its token.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp.types import JSONRPCMessage

VERSION = "2025-11-25"


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def say_token(token: str) -> None:
    # Whoever takes the message is about to.
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    say(token=token)


def message(method: str, params: dict[str, Any], number: int | None = None) -> JSONRPCMessage:
    id = {} if number is None else {"id": number}
    return JSONRPCMessage.model_validate({"jsonrpc": "2.0", **id, "method": method, "params": params})


async def main(url: str, steps: int, step_ms: int, session: str | None, token: str | None) -> None:
    headers = {"mcp-session-id": session, "mcp-protocol-version": VERSION} if session else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30, read=300)) as http,
        streamable_http_client(url, http_client=http, terminate_on_close=False) as (read, write, session_id),
    ):
        if session is None:
            client = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "mortal", "version": "1"}}
            await write.send(SessionMessage(message("initialize", client, 0)))
            assert (await read.receive()).message.root.id == 0
            await write.send(SessionMessage(message("notifications/initialized", {})))
            say(session=session_id())
        arguments = {"name": "long_running_agent", "arguments": {"steps": steps, "step_ms": step_ms}}
        metadata = ClientMessageMetadata(resumption_token=token, on_resumption_token_update=say_token)
        await write.send(SessionMessage(message("tools/call", arguments, 1), metadata))
        async for received in read:
            got = received.message.root.model_dump(mode="json", exclude_none=True)
            if got.get("method") == "notifications/message":
                say(log=got["params"]["data"])
            elif got.get("id") == 1:
                say(answer=got)
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--step-ms", type=int, required=True)
    parser.add_argument("--session")
    parser.add_argument("--token")
    given = parser.parse_args()
    anyio.run(main, given.url, given.steps, given.step_ms, given.session, given.token)
