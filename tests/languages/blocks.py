"""The programs of docs/plugin-authors.md that are made with the kits: each is put in the place of a new project's tool, built and
tried, killed at every record."""

import json
import os
import subprocess
import sys
from pathlib import Path

binary, scratch, document, *languages = sys.argv[1:]
SECTION = "## Kits for Python, JavaScript and C"
FENCES = {"python": ("```python", "tool.py"), "js": ("```js", "tool.js"), "c": ("```c", "tool.c")}
passed, failed = 0, 0


def check(what, condition, seen):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print(f"FAILED: {what}: {seen}")


def program(fence):
    """The one block of the section that begins so."""
    section = Path(document).read_text().split(SECTION + "\n")[1].split("\n## ")[0]
    [block] = [part.split("\n```")[0] for part in section.split(fence + "\n")[1:]]
    return block + "\n"


def longhaul(folder, *words):
    environment = os.environ | {"LONGHAUL_DATA": str(Path(scratch, "data"))}
    done = subprocess.run([binary, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stdout + done.stderr


for language in languages:
    fence, file = FENCES[language]
    folder = Path(scratch, language)
    folder.mkdir(parents=True)
    status, _, said = longhaul(folder, "tool", "new", "words", "--lang", language)
    check(f"{language}: a project", status == 0, said)
    Path(folder, "words", file).write_text(program(fence))
    status, _, said = longhaul(folder, "tool", "build", "words")
    check(f"{language}: it is built", status == 0, said)
    arguments = json.dumps({"text": "one two\nthree"})
    status, out, said = longhaul(folder, "tool", "check", "words/build/words.wasm", "--args", arguments, "--json")
    report = json.loads(out or "null")
    ran = report and report["undisturbed"]
    check(f"{language}: it ends well", status == 0 and report["ok"] and not ran["is_error"], said)
    check(f"{language}: killed at every record", ran and report["interruptions"]["resumed"] == ran["records"] > 2, said)
print(f"{passed} passed, {failed} failed")
sys.exit(bool(failed))
