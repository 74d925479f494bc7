"""The programs of docs/plugin-authors.md that are made with the kits: each is put in the place of a new project's tool, built and
tried, killed at every record. What they fetch is played."""

import json
import os
import subprocess
import sys
from pathlib import Path

binary, scratch, document, *languages = sys.argv[1:]
SECTION = "## Kits for Python, JavaScript and C"
FENCES = {"python": ("```python", "tool.py"), "js": ("```js", "tool.js"), "c": ("```c", "tool.c")}
PROGRAMS = {"python": 2, "js": 2, "c": 1}
passed, failed = 0, 0


def check(what, condition, seen):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print(f"FAILED: {what}: {seen}")


def programs(fence):
    """The blocks of the section that begin so."""
    section = Path(document).read_text().split(SECTION + "\n")[1].split("\n## ")[0]
    return [part.split("\n```")[0] + "\n" for part in section.split(fence + "\n")[1:]]


def sends_requests(project):
    """As the section says that a tool does which sends requests."""
    with open(project / "words.toml", "a") as manifest:
        manifest.write('http = ["https://api.example.com"]\n')
    world = project / "wit/world.wit"
    if (project / "requirements.txt").exists():
        line = "    import wasi:http/outgoing-handler@0.2.1;\n"
        world.write_text(world.read_text().replace("    export", f"{line}    export", 1))
    if (project / "package.json").exists():
        package = json.loads((project / "package.json").read_text())
        package["longhaul"]["fetch"] = True
        (project / "package.json").write_text(json.dumps(package))
    (project / "answers.json").write_text(json.dumps({"http": [
        {"request": "GET https://api.example.com/tides", "answer": {"status": 200, "body": "They come and go."}}]}))


def tried(language, number, text):
    what = f"{language} {number}"
    folder = Path(scratch, f"{language}-{number}")
    folder.mkdir(parents=True)
    status, _, said = longhaul(folder, "tool", "new", "words", "--lang", language)
    check(f"{what}: a project", status == 0, said)
    project = folder / "words"
    (project / FENCES[language][1]).write_text(text)
    words = ["--args", json.dumps({"text": "one two\nthree"})]
    if "api.example.com" in text:
        sends_requests(project)
        words = ["--args", json.dumps({"path": "tides"}), "--answers", "answers.json"]
    status, _, said = longhaul(project, "tool", "build", ".")
    check(f"{what}: it is built", status == 0, said)
    status, out, said = longhaul(project, "tool", "check", "build/words.wasm", *words, "--json")
    report = json.loads(out or "null")
    ran = report and report["undisturbed"]
    check(f"{what}: it ends well", status == 0 and report["ok"] and not ran["is_error"], said)
    check(f"{what}: killed at every record", ran and report["interruptions"]["resumed"] >= ran["records"] > 0, said)


def longhaul(folder, *words):
    environment = os.environ | {"LONGHAUL_DATA": str(Path(scratch, "data"))}
    done = subprocess.run([binary, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stdout + done.stderr


for language in languages:
    found = programs(FENCES[language][0])
    check(f"{language}: programs", len(found) == PROGRAMS[language], found)
    for number, text in enumerate(found, 1):
        tried(language, number, text)
print(f"{passed} passed, {failed} failed")
sys.exit(bool(failed))
