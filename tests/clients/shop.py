"""A server that others wrote the library of, on stdio: what Longhaul calls tools of. Each call leaves a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

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


server.run()
