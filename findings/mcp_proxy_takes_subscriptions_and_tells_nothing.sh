#!/usr/bin/env bash
# mcp-proxy 0.13.0 with mcp 1.30.0 (PyPI), as a stdio server in front of a server over streamable HTTP.
#
# A server that has `resources.subscribe` and sends `notifications/resources/updated` is behind it. The proxy says
# `resources.subscribe: false`, takes `resources/subscribe` all the same (and passes it on), and passes none of the
# notifications. A request that is given up with `notifications/cancelled` goes on at the server: the notification is
# taken and not passed on. Progress is passed.
#
# Seen: "subscribe said False and was taken, 0 updates; progress 2; cancelled at the server: False". Without the proxy:
# "subscribe said True and was taken, 1 updates; progress 2; cancelled at the server: True".
#
# Needs python3 and a network to PyPI. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mcp-proxy==0.13.0 mcp==1.30.0
cat > server.py <<'PYTHON'
import socket
import sys
from pathlib import Path

import anyio
import mcp.types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import AnyUrl
from starlette.applications import Starlette
from starlette.routing import Mount

server = Server("probe")
subscribed = []


@server.list_tools()
async def tools():
    return [types.Tool(name=name, inputSchema={"type": "object"}) for name in ("work", "wait")]


@server.list_resources()
async def resources():
    return [types.Resource(uri=AnyUrl("probe://thing"), name="thing")]


@server.subscribe_resource()
async def subscribe(uri):
    subscribed.append(uri)


@server.call_tool()
async def call(name, arguments):
    context = server.request_context
    if name == "work":
        for uri in subscribed:
            await context.session.send_resource_updated(uri)
        for done in (1, 2):
            await context.session.send_progress_notification(
                context.meta.progressToken, done, 2, related_request_id=str(context.request_id)
            )
        return [types.TextContent(type="text", text="worked")]
    try:
        Path("waits").touch()
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        Path("cancelled").touch()
        raise


def options(*_):
    made = original(NotificationOptions())
    # The library has a handler for it and no switch.
    made.capabilities.resources.subscribe = True
    return made


original = server.create_initialization_options
server.create_initialization_options = options
manager = StreamableHTTPSessionManager(server)
app = Starlette(routes=[Mount("/mcp", app=manager.handle_request)], lifespan=lambda _: manager.run())
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp/", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
PYTHON
cat > probe.py <<'PYTHON'
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import mcp
import mcp.types as types
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl


@asynccontextmanager
async def directly(url):
    async with streamable_http_client(url) as (read, write, _):
        yield read, write


def behind(url):
    command = ["--transport", "streamablehttp", url]
    return stdio_client(StdioServerParameters(command="venv/bin/mcp-proxy", args=command), errlog=open("log", "w"))


async def given_up(session):
    try:
        await session.call_tool("wait", {})
    except mcp.McpError:
        # This server's library answers what was cancelled.
        pass


async def seen(streams):
    updates, progress = [], []

    async def on_message(message):
        if isinstance(getattr(message, "root", None), types.ResourceUpdatedNotification):
            updates.append(message)

    async def on_progress(done, total, text):
        progress.append(done)

    async with streams as (read, write), mcp.ClientSession(read, write, message_handler=on_message) as session:
        said = (await session.initialize()).capabilities.resources.subscribe
        await session.subscribe_resource(AnyUrl("probe://thing"))
        await session.call_tool("work", {}, progress_callback=on_progress)
        async with anyio.create_task_group() as group:
            request = session._request_id
            group.start_soon(given_up, session)
            while not Path("waits").exists():
                await anyio.sleep(0.05)
            params = types.CancelledNotificationParams(requestId=request)
            notification = types.CancelledNotification(method="notifications/cancelled", params=params)
            await session.send_notification(types.ClientNotification(notification))
            with anyio.move_on_after(3):
                while not Path("cancelled").exists():
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        cancelled = Path("cancelled").exists()
        print(f"subscribe said {said} and was taken, {len(updates)} updates; progress {len(progress)}; "
              f"cancelled at the server: {cancelled}", flush=True)


server = subprocess.Popen([sys.executable, "server.py"], stdout=subprocess.PIPE, text=True)
try:
    url = server.stdout.readline().strip()
    anyio.run(seen, directly(url) if sys.argv[1] == "directly" else behind(url))
finally:
    server.kill()
PYTHON
for way in directly behind; do
    rm -f waits cancelled
    timeout 60 venv/bin/python probe.py $way 2>> errors | tee -a seen
done
[ "$(cat seen)" = "subscribe said True and was taken, 1 updates; progress 2; cancelled at the server: True
subscribe said False and was taken, 0 updates; progress 2; cancelled at the server: False" ] || {
    cat errors
    echo "not as described any more"
    exit 1
}
echo "as described: subscriptions are taken and nothing is told, cancellations end at the proxy"
