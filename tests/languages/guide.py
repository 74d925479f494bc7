"""docs/first-tool.md, once for each language: each block of commands is run, in their order and in a folder of its own, and
what follows it as text is what it prints. What was built and approved there is then killed at every record."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

binary, scratch, document, targets, *rounds = sys.argv[1:]
scratch = Path(scratch)
passed, failed = 0, 0
# More records than a call of the tool has.
MANY = 30
TEXT = "one two\nthree"


def check(what, condition, seen):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print(f"FAILED: {what}: {seen}")


def blocks(name):
    """The blocks of a round, in their order: those below its heading of the third level, and those that all share."""
    below, kind, lines, found = None, None, [], []
    for line in Path(document).read_text().splitlines():
        if kind is None and line.startswith("#"):
            below = line[4:] if line.startswith("### ") else None
        elif kind is None and line.startswith("```"):
            kind, lines = line[3:], []
            assert kind in ("sh", "text"), f"a block that nothing checks: {line}"
        elif line == "```":
            if below in (None, name):
                found.append((kind, lines))
            kind = None
        elif kind is not None:
            lines.append(line)
    return found


def headings():
    return [line[4:] for line in Path(document).read_text().splitlines() if line.startswith("### ")]


def is_there(expected, said):
    """Whether it is a line of what was said: `...` stands for any text."""
    parts = [re.escape(part.strip()) for part in expected.split("...")]
    return any(re.search(".*".join(parts), line) for line in said.splitlines())


class Reader:
    """Who does what the guide says, in a language."""

    def __init__(self, name):
        self.name, self.server, self.folder = name, None, scratch / name.replace(" ", "-")
        self.folder.mkdir()
        self.here = self.folder
        (self.folder / "bin").mkdir()
        (self.folder / "bin/longhaul").symlink_to(binary)
        config = self.folder / "longhaul.toml"
        config.write_text("[cli]\nanswer_without_terminal = true\n")
        self.environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "LONGHAUL_DATA": str(self.folder / "data"),
            "LONGHAUL_CONFIG": str(config),
            "LONGHAUL_HTTP": "127.0.0.1:0",
            "npm_config_prefer_offline": "true",
            "npm_config_update_notifier": "false",
        }
        # What a build of Longhaul has set for itself.
        for variable in ("CARGO_TARGET_DIR", "LONGHAUL_GUEST_TARGET_DIR", "RUSTUP_TOOLCHAIN"):
            self.environment.pop(variable, None)

    def shell(self, line, **variables):
        command = ["sh", "-euc", line]
        done = subprocess.run(command, cwd=self.here, env=self.environment | variables, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=600)
        return done.returncode, done.stderr + done.stdout

    def run(self, line):
        if line == "longhaul serve &":
            return 0, self.serve()
        if line == "kill -9 %1":
            return 0, self.end()
        if line.startswith("cd "):
            self.here = self.here / line[3:]
            # What cargo has built before.
            if self.name == "Rust":
                (self.here / "target").symlink_to(targets)
            return 0, ""
        if line.startswith("longhaul tool approve "):
            waiting = json.loads(self.shell("longhaul tool approve --json")[1])["waiting"]
            line += f" --digest {waiting[0]['digest']}"
        return self.shell(line)

    def serve(self, **variables):
        self.end()
        command = [self.folder / "bin/longhaul", "serve", "--json"]
        with open(self.folder / "server.log", "a") as log:
            self.server = subprocess.Popen(command, cwd=self.here, env=self.environment | variables, text=True,
                                           stdout=subprocess.PIPE, stderr=log)
        # It listens, and then its components are there.
        return self.server.stdout.readline() + self.server.stdout.readline()

    def end(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server.stdout.close()
        self.server = None
        return ""

    def read(self):
        said = ""
        before = None
        for kind, lines in blocks(self.name):
            if kind == "sh" and before == "text":
                said = ""
            for line in lines:
                if kind == "text":
                    check(f"{self.name}: the guide", is_there(line, said), f"{line}\nis not in\n{said}")
                    continue
                status, words = self.run(line)
                check(f"{self.name}: {line}", status == 0, words)
                said += words
            before = kind

    def call(self, key):
        arguments = json.dumps({"text": TEXT})
        return ["longhaul", "call", "words", "--args", arguments, "--key", key, "--json"]

    def counted(self, key):
        done = subprocess.run(self.call(key), cwd=self.here, env=self.environment, capture_output=True, text=True, timeout=300)
        *_, last = done.stdout.strip().splitlines() or ["null"]
        document = json.loads(last)
        return document and document.get("result", {}).get("structuredContent"), done

    def outlives(self, key):
        """Whether a call ends before the server dies; a client would wait for the next server."""
        client = subprocess.Popen(self.call(key), cwd=self.here, env=self.environment,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while client.poll() is None and self.server.poll() is None:
            time.sleep(0.01)
        if client.poll():
            # It has lost the server, whose end may take a moment longer.
            self.server.wait(timeout=60)
        died = self.server.poll() is not None
        client.kill()
        client.wait()
        return not died

    def kill(self):
        """At every record, and each call adds its three words once."""
        total = int(json.loads(self.shell("longhaul state get words total --json")[1])["value"])
        for record in range(1, MANY):
            key = f"record-{record}"
            self.serve(LONGHAUL_CRASH=f"record:{record}")
            outlived = self.outlives(key)
            total += 3
            if not outlived:
                self.serve()
            seen, done = self.counted(key)
            what = f"{self.name}: killed at record {record}, counted once"
            check(what, seen == {"words": 3, "total": total}, f"{total}: {done}")
            task = json.loads(self.shell("longhaul task list --limit 1 --json")[1])["tasks"][0]["id"]
            _, text = self.shell(f"longhaul task output {task} lines")
            check(f"{self.name}: each line once", text == "2 one two\n1 three\n", text)
            if outlived:
                break
        check(f"{self.name}: it ends before the last kill", 5 < record < MANY - 1, record)
        print(f"{self.name}: killed at {record - 1} records")


for name in rounds or headings():
    reader = Reader(name)
    try:
        reader.read()
        reader.kill()
    finally:
        reader.end()
print(f"{passed} passed, {failed} failed")
sys.exit(bool(failed))
