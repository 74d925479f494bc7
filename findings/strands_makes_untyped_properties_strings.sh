#!/usr/bin/env bash
# strands-agents 1.62.0 with mcp 2.1.1 (PyPI), `strands.tools.mcp.MCPClient`.
#
# A property of a tool's input schema that has no `type` admits any JSON value. What the model is shown has
# `"type": "string"` there: the agent's list of tools is normalised, and a property without a type becomes a string. One
# that is written as `anyOf` stays as it is, so that a server that means "any value" has to write the types out. The
# client's own list still has the server's schema.
#
# Seen, as the model gets the properties: {"any": "string", "alternatives": ["object", "string"], "whole": "integer"}.
#
# Needs python3 and a network to PyPI. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check strands-agents==1.62.0 mcp==2.1.1
cat > server.py <<'PYTHON'
import json
import sys

PROPERTIES = {
    "any": {"description": "Any JSON"},
    "alternatives": {"anyOf": [{"type": "object"}, {"type": "string"}]},
    "whole": {"type": "integer"},
}
ANSWERS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "probe", "version": "1"},
    },
    "tools/list": {"tools": [{"name": "put", "inputSchema": {"type": "object", "properties": PROPERTIES}}]},
}
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] in ANSWERS:
        answer["result"] = ANSWERS[message["method"]]
    else:
        answer["error"] = {"code": -32601, "message": "unknown"}
    print(json.dumps(answer), flush=True)
PYTHON
cat > probe.py <<'PYTHON'
import json
import sys

from mcp.client.stdio import StdioServerParameters, stdio_client
from strands import Agent
from strands.models.model import Model
from strands.tools.mcp import MCPClient


class Shown(Model):
    """A model that keeps what it is shown, and says that it is done."""

    def update_config(self, **_):
        pass

    def get_config(self):
        return {}

    async def structured_output(self, *_, **__):
        yield {}

    async def stream(self, messages, tool_specs=None, system_prompt=None, **_):
        self.tools = tool_specs
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": "done"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


with MCPClient(lambda: stdio_client(StdioServerParameters(command=sys.executable, args=["server.py"]))) as client:
    model = Shown()
    Agent(model=model, tools=client.list_tools_sync(), callback_handler=None)("go")
properties = model.tools[0]["inputSchema"]["json"]["properties"]
types = {name: value.get("type") or [one["type"] for one in value["anyOf"]] for name, value in properties.items()}
print(json.dumps(types))
PYTHON
seen=$(timeout 120 venv/bin/python probe.py)
printf '%s\n' "$seen"
[ "$seen" = '{"any": "string", "alternatives": ["object", "string"], "whole": "integer"}' ] || {
    echo "not as described any more"
    exit 1
}
echo "as described: a property without a type is shown as a string"
