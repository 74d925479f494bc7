"""Runs each framework's agent against a server of its own and compares what its model was shown.

Standard library alone. Run by `tests/clients/frameworks/run`, which makes the environments.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from longhaul_server import Server, environment  # noqa: E402
from model import Model  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402

# Of one framework, on a machine that does other things; all of its scenarios wait for about half a minute.
FRAMEWORK_SECONDS = 300
AT_ONCE = 5
# Definitions that are compared whole; of the other tools the names are.
DEFINED = ("compare", "long_running_agent", "task_wait")
# Writes the golden files instead of comparing them.
UPDATE = os.environ.get("LONGHAUL_UPDATE_GOLDEN") == "1"


@dataclass(frozen=True)
class Framework:
    name: str
    # Whether its client can be given a person and a model for the server's questions.
    elicits: bool
    samples: bool
    command: tuple[str, ...] = ("bin/python", "agent.py")

    def scenarios(self) -> list[str]:
        without = {name for name, able in (("question", self.elicits), ("sample", self.samples)) if not able}
        return [name for name in SCENARIOS if name not in without]


FRAMEWORKS = [
    Framework("langchain", elicits=True, samples=False),
    Framework("openai-agents", elicits=False, samples=False),
    Framework("pydantic-ai", elicits=True, samples=True),
    Framework("llama-index", elicits=False, samples=True),
    Framework("mcp-use", elicits=True, samples=True),
    Framework("ai-sdk", elicits=True, samples=False, command=("node", "agent.mjs")),
    Framework("langchain-js", elicits=False, samples=False, command=("node", "agent.mjs")),
    Framework("agno", elicits=False, samples=False),
    Framework("haystack", elicits=False, samples=False),
    Framework("semantic-kernel", elicits=False, samples=False),
]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--longhaul", type=Path, required=True, help="the binary under test")
    parser.add_argument("--components", type=Path, required=True, help="a folder of the components and manifests")
    parser.add_argument("--environments", type=Path, required=True, help="a folder with one environment a framework")
    parser.add_argument("--keep", type=Path, help="leave what each framework wrote here")
    parser.add_argument("frameworks", nargs="+")
    options = parser.parse_args()
    frameworks = [framework for framework in FRAMEWORKS if framework.name in options.frameworks]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="lh-frameworks-") as scratch:
        folder = Path(scratch)
        compiled = compile_components(options.longhaul, options.components, folder / "compiled")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            runs = [pool.submit(run_framework, framework, options, compiled, folder) for framework in frameworks]
            for framework, run in zip(frameworks, runs, strict=True):
                try:
                    seen = run.result()
                except Exception as error:
                    print(f"FAILED {framework.name}: {error}")
                    failed += len(framework.scenarios()) + 2
                    continue
                wrong = write(framework, seen) if UPDATE else compare(framework, seen)
                passed, failed = passed + len(seen) - wrong, failed + wrong
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


def compile_components(binary: Path, components: Path, folder: Path) -> Path:
    """A data folder without tasks: a server that starts on a copy of it need not compile."""
    folder.mkdir()
    server = Server(binary, components, folder, flags=("--trust",))
    server.start()
    server.stop()
    return folder / "data"


def run_framework(framework: Framework, options: argparse.Namespace, compiled: Path, folder: Path) -> dict[str, Any]:
    """What the model was shown in each scenario; the tools that it was given; the tasks that came of it."""
    home = folder / framework.name
    home.mkdir()
    shutil.copytree(compiled, home / "data")
    server = Server(options.longhaul, options.components, home, flags=("--trust",))

    def restart() -> None:
        server.kill()
        server.start()

    server.start()
    model = Model(restart)
    try:
        jobs = [job(name, server, model) for name in framework.scenarios()]
        ended = run_agent(framework, options, home, jobs)
        server.still_runs()
        tasks = tasks_of(options.longhaul, home)
    finally:
        model.close()
        server.abandon()
        if options.keep:
            kept, left_out = options.keep / framework.name, shutil.ignore_patterns("data")
            shutil.copytree(home, kept, dirs_exist_ok=True, ignore=left_out)
    seen = {
        name: {"shown": conversation(model.messages.get(name, [])), **ended.get(name, {})}
        for name in framework.scenarios()
    }
    return {"tools": tools_of(model.tools.get("inline", [])), **seen, "tasks": tasks}


def tasks_of(binary: Path, home: Path) -> list[str]:
    """The tool of each task that was begun, oldest first: nothing repeats a call."""
    words = ["task", "list", "--json", "--data", str(home / "data")]
    listed = subprocess.run([binary, *words], capture_output=True, check=True, cwd=home, env=environment(home))
    tasks = reversed(json.loads(listed.stdout)["tasks"])
    return [task["tool"] for task in tasks]


def job(name: str, server: Server, model: Model) -> dict[str, Any]:
    scenario = SCENARIOS[name]
    return {
        "scenario": name,
        "mcp": server.url + scenario.query,
        "model": f"{model.address}/{name}/v1",
        "limit": scenario.limit,
        "answers": scenario.answers,
    }


def run_agent(
    framework: Framework, options: argparse.Namespace, home: Path, jobs: list[dict[str, Any]]
) -> dict[str, Any]:
    program, script = framework.command
    packages = options.environments / framework.name
    path = HERE / framework.name / script
    if program == "node":
        # Its packages are looked for where it stands.
        path = Path(shutil.copy(path, packages))
    else:
        program = str(packages / program)
    with (home / "stderr").open("wb") as stderr:
        done = subprocess.run(
            [program, str(path), json.dumps(jobs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=home,
            env=environment_of(home),
            timeout=FRAMEWORK_SECONDS,
        )
    (home / "stdout").write_bytes(done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}\n{(home / 'stderr').read_text(errors='replace')[-4000:]}")
    lines = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith('{"scenario"')]
    return {line.pop("scenario"): line for line in lines}


def environment_of(home: Path) -> dict[str, str]:
    """Nothing of the user's settings and keys, and no telemetry."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
        "OTEL_SDK_DISABLED": "true",
        "MCP_USE_ANONYMIZED_TELEMETRY": "false",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "AI_SDK_LOG_WARNINGS": "false",
    }


REPLACED = (
    (re.compile(r"call_\d+"), "<call>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "<time>"),
    (re.compile(r"(blake3|sha256)([:-])[0-9a-f]{64}"), r"\1\2<digest>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
)
# How far a task that goes on has come is chance.
PASSING = (
    (re.compile(r"\bqueued\b"), "running"),
    (re.compile(r"running: writing [^\"'\\\\]*"), "running"),
    # Not those of arguments, which come first in theirs.
    (re.compile(r"""(, ?\\*["'](?:bytes|steps)\\*["']: ?)\d+"""), r"\1<count>"),
)
GOES_ON = re.compile(r"\btask_wait\b")
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def replaced(value: Any) -> Any:
    """Without what differs from run to run; each id by the order in which they come."""
    text = substituted(REPLACED, json.dumps(value))
    for number, one in enumerate(dict.fromkeys(ID.findall(text)), 1):
        text = text.replace(one, f"<id {number}>")
    return json.loads(text)


def substituted(patterns: Iterable[tuple[re.Pattern[str], str]], text: str) -> str:
    for pattern, by in patterns:
        text = pattern.sub(by, text)
    return text


def settled(message: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(message)
    goes_on = message["role"] == "tool" and GOES_ON.search(text)
    return json.loads(substituted(PASSING, text)) if goes_on else message


def conversation(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole, but for the framework's own prompt; how often a wait was called in the same words is chance."""
    kept = [message for message in messages if message["role"] not in ("system", "developer")]
    once: list[dict[str, Any]] = []
    for message in map(settled, replaced(kept)):
        once.append(message)
        if len(once) >= 4 and once[-2:] == once[-4:-2]:
            del once[-2:]
    return once


def tools_of(tools: list[dict[str, Any]]) -> dict[str, Any]:
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    return replaced({"names": sorted(functions), "defined": [functions[name] for name in DEFINED if name in functions]})


def golden(framework: Framework) -> Path:
    return HERE / "golden" / f"{framework.name}.json"


def lines_of(value: Any) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()


def write(framework: Framework, seen: dict[str, Any]) -> int:
    golden(framework).write_text("\n".join(lines_of(replaced(seen))) + "\n")
    return 0


def compare(framework: Framework, seen: dict[str, Any]) -> int:
    """How many of the scenarios, or of the golden file's, differ."""
    seen = replaced(seen)
    wanted = json.loads(golden(framework).read_text()) if golden(framework).exists() else {}
    wrong = [name for name in dict.fromkeys([*seen, *wanted]) if seen.get(name) != wanted.get(name)]
    for name in wrong:
        print(f"FAILED {framework.name} {name}")
        diff = difflib.unified_diff(lines_of(wanted.get(name)), lines_of(seen.get(name)), "golden", "seen", lineterm="")
        print("\n".join(diff))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
