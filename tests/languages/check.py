"""Calls the example tools of other languages through a Longhaul server, and again after it was killed."""

import json
import subprocess
import sys
from pathlib import Path

binary, scratch, *languages = sys.argv[1:]
scratch = Path(scratch)
passed, failed = 0, 0


def serve():
    command = [binary, "serve", "--http", "127.0.0.1:0", "--json", "--data", scratch / "data"]
    command += ["--tools", scratch / "tools"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    # Its first line says where it listens; there is none where it ends before.
    said = json.loads(server.stdout.readline() or "{}")
    # The second comes once all its tools are compiled.
    server.stdout.readline()
    return server, said["url"]


def longhaul(*words):
    done = subprocess.run([binary, *words, "--json"], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def call(url, tool, **arguments):
    status, out, _ = longhaul("call", tool, "--args", json.dumps(arguments), "--url", url)
    *_, last = out.strip().splitlines()
    return status, json.loads(last)


def check(what, condition, seen):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print(f"FAILED: {what}: {seen}")


def result(document):
    return document["result"]["structuredContent"]["result"]


def python(url):
    status, seen = call(url, "summarize_csv", csv="name,age\nada,36\nbob,4\n,5\n")
    name, age = result(seen)
    check("columns", status == 0 and name == {"name": "name", "filled": 2, "distinct": 2}, seen)
    check("numbers", age["mean"] == 15 and age["median"] == 5, seen)
    status, seen = call(url, "roll_dice", dice="3d6+2")
    check("dice", status == 0 and 5 <= result(seen) <= 20, seen)
    status, seen = call(url, "roll_dice", dice="frog")
    check("an error of the tool's own", status == 1 and "is no throw" in json.dumps(seen), seen)


def javascript(url):
    status, seen = call(url, "outline", markdown="# A title!\n```\n# no\n```\n## \u00dcber uns")
    titles = [(heading["level"], heading["slug"]) for heading in result(seen)]
    check("headings", status == 0 and titles == [(1, "a-title"), (2, "\u00fcber-uns")], seen)
    status, seen = call(url, "fill_template", template="Hi {{name}}", values='{"name": "Bob"}')
    check("template", status == 0 and result(seen) == "Hi Bob", seen)
    status, seen = call(url, "fill_template", template="{{x}}", values="{}")
    check("an error of the tool's own", status == 1 and "wants {{x}}" in json.dumps(seen), seen)


server, url = serve()
try:
    for _ in range(2):
        for language in languages:
            globals()[language](url)
        server.kill()
        server.wait()
        server, url = serve()
    status, out, _ = longhaul("task", "list", "--url", url)
    tasks = json.loads(out)["tasks"]
    check("every task is there after the kills", all(task["state"] == "completed" for task in tasks), tasks)
    check("as many as were called", len(tasks) == 2 * 3 * len(languages), len(tasks))
finally:
    server.kill()
    server.wait()
print(f"{passed} passed, {failed} failed")
sys.exit(bool(failed))
