"""my_tool counts the words of a text, line by line, and keeps the total of all its calls."""

import longhaul
from longhaul import Tools  # noqa: F401  what the component exports
from words import count

RESULT = {
    "type": "object",
    "properties": {"words": {"type": "integer"}, "total": {"type": "integer"}},
    "required": ["words", "total"],
}


@longhaul.tool("my_tool", "Counts the words of a text, line by line, and keeps the total of all its calls.",
               {"text": {"type": "string"}}, output=RESULT, title="my_tool", reply="inline")
def run(text):
    words = 0
    lines = text.splitlines()
    longhaul.outputs.open("lines", "text/plain")
    for at, line in enumerate(lines, 1):
        words += count(line)
        longhaul.outputs.append("lines", f"{count(line)} {line}\n")
        longhaul.progress.report(at, len(lines), f"line {at}")
        # Durable: after a crash it goes on here, and what came before is not done again.
        longhaul.timers.sleep(0.1)
    longhaul.outputs.close("lines")
    total = longhaul.state.update("my_tool", "total", lambda total: (total or 0) + words)
    return longhaul.Output(f"{words} words, {total.value} in all", {"words": words, "total": total.value})
