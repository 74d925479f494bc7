"""FastMCP: a tool that adds, and with `tasks` the same as a task on its docket in memory, FastMCP's default.

    fastmcp_server.py PORT [tasks]

`/open` is how many tasks have begun and not ended.
"""

import sys

import uvicorn
from fastmcp import FastMCP
from starlette.responses import PlainTextResponse

server = FastMCP("bench")
begun = ended = 0


@server.custom_route("/open", methods=["GET"])
async def count_open(_request):
    return PlainTextResponse(f"open {begun - ended}")


if "tasks" in sys.argv[2:]:
    from fastmcp_tasks import TasksExtension

    class Counting(TasksExtension):
        async def intercept_tool_call(self, *arguments, **named):
            global begun
            begun += 1
            return await super().intercept_tool_call(*arguments, **named)

    server.add_extension(Counting())

    @server.tool(task=True)
    async def add(a: int, b: int) -> int:
        global ended
        ended += 1
        return a + b

else:

    @server.tool
    async def add(a: int, b: int) -> int:
        return a + b


uvicorn.run(server.http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
