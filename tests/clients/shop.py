"""A server that others wrote the library of, on stdio: what Longhaul calls tools of. Each call leaves a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import anyio

try:
    from mcp.server import MCPServer
except ImportError:
    from mcp.server.fastmcp import FastMCP as MCPServer
from mcp.types import ToolAnnotations

calls = Path(os.environ["SHOP_CALLS"])
server = MCPServer("shop")


def note(line: str) -> None:
    with calls.open("a") as file:
        file.write(f"{line}\n")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def price(article: str) -> int:
    """What an article costs."""
    note(f"price {article}")
    return len(article)


@server.tool()
def buy(article: str) -> str:
    """Buys an article, once the file that is named like it is there."""
    note(f"buy {article}")
    while not calls.with_name(article).exists():
        time.sleep(0.01)
    return f"bought {article}"


@server.tool()
async def order(article: str) -> str:
    """Orders an article, which never comes."""
    note(f"order {article}")
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        note(f"withdrawn {article}")
        raise
    return article


server.run()
