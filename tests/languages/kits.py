"""Tools that are made with the kits: every call once in `tool check`, and a server that is killed at every record; a model that
they ask answers on this machine."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

binary, built, kits, *engines = sys.argv[1:]
passed, failed = 0, 0
# More records than a call of `counted` has.
MANY = 40
# JavaScript's engines have no calls for files.
WRITES_FILES = ("python", "c")


def check(what, condition, seen):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print(f"FAILED: {what}: {seen}")


def longhaul(*words):
    done = subprocess.run([binary, *words, "--json"], capture_output=True, text=True, timeout=300)
    *_, last = done.stdout.strip().splitlines() or [""]
    return json.loads(last or "null"), done


class Endpoint(ThreadingHTTPServer):
    """A stand-in for a model's endpoint, which streams one answer. `keys` has the keys that each question came under."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.keys = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def configuration(self):
        url = f"http://127.0.0.1:{self.server_port}/v1"
        return f'[models.fast]\napi = "openai-chat"\nurl = "{url}"\nmodel = "m"\n'


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["content-length"] or 0)
        if self.path == "/page":
            return self.say(json.dumps({"bytes": len(self.rfile.read(length)), "way": self.headers["x-way"]}))
        body = json.loads(self.rfile.read(length))
        question = json.dumps(body["messages"][-1]["content"])
        self.server.keys.setdefault(question, set()).add(self.headers["idempotency-key"])
        pieces = [{"model": "m-1", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in ("far ", "away")]
        events = [*pieces, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                  {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}]
        self.say("".join(f"data: {event}\n\n" for event in [*map(json.dumps, events), "[DONE]"]), "text/event-stream")

    def do_GET(self):
        self.say("a page ü")

    def say(self, text, kind="text/plain"):
        said = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


def every_call(engine, component):
    expected = json.dumps(json.loads(Path(kits, "expected.json").read_text()))
    words = ["--tool", "every_call", "--answers", Path(kits, "answers.toml"), "--args", expected]
    report, done = longhaul("tool", "check", component, *words)
    ran = report and report["undisturbed"]
    check(f"{engine}: every call", report and report["ok"] and not ran["is_error"], done.stdout + done.stderr)
    cut = report and report["interruptions"]
    check(f"{engine}: killed at every record", cut and cut["resumed"] == ran["records"] > 20, report)


def serve(component, data, **variables):
    command = [binary, "serve", "--http", "127.0.0.1:0", "--json", "--trust", "--data", data, "--tools", component,
               "--config", configuration]
    environment = os.environ | variables
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    said = json.loads(server.stdout.readline() or "{}")
    # The second line comes once its tools are compiled.
    server.stdout.readline()
    return server, said["url"]


def end(server):
    server.kill()
    server.wait()


def words(url, key):
    arguments = ["--args", json.dumps({"key": key}), "--key", key, "--url", url]
    return ["call", "counted", *arguments]


def counted(url, key):
    document, done = longhaul(*words(url, key))
    return document and document.get("result", {}).get("structuredContent"), done


def outlives(server, url, key):
    """Whether a call ends before the server dies; a client would wait for the next server."""
    client = subprocess.Popen([binary, *words(url, key)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while client.poll() is None and server.poll() is None:
        time.sleep(0.01)
    died = server.poll() is not None
    end(client)
    return not died


def failures(engine, url):
    seen, done = longhaul("call", "wrong", "how=tool", "--url", url)
    check(f"{engine}: a tool's own error", done.returncode == 1 and "of the tool's own" in done.stdout, done)
    seen, done = longhaul("call", "wrong", "how=protocol", "--url", url)
    check(f"{engine}: a protocol error", "protocol_error" in done.stdout and "of the protocol" in done.stdout, done)
    seen, done = longhaul("call", "wrong", "how=host", "--url", url)
    check(f"{engine}: what the host refuses", "not granted" in done.stdout and "others" in done.stdout, done)
    seen, done = longhaul("call", "wrong", "how=trap", "--url", url)
    check(f"{engine}: a trap says why", done.returncode == 1 and "a trap" in done.stdout, done)


def folders(engine, url):
    roots = {"roots": [{"uri": "file:///a", "name": "a"}, {"uri": "file:///b"}]}
    started, _ = longhaul("call", "folders", "--detach", "--url", url)
    task = started["task"]["id"]
    with subprocess.Popen([binary, "task", "watch", task, "--url", url, "--json"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as watch:
        next(line for line in watch.stderr if "waiting (input)" in line)
        _, done = longhaul("task", "answer", task, "--args", json.dumps(roots), "--url", url)
        watch.wait(timeout=60)
    result, again = longhaul("task", "result", task, "--url", url)
    expected = {"folders": [["file:///a", "a"], ["file:///b", None]]}
    check(f"{engine}: root folders", result and result.get("structuredContent") == expected, [started, done, again])


def fetches(engine, url):
    """Requests; in JavaScript by async functions and `fetch`, which QuickJS does not have."""
    page = f"http://127.0.0.1:{endpoint.server_port}/page"
    seen, done = longhaul("call", "fetched", f"url={page}", "--url", url)
    if engine == "quickjs":
        check(f"{engine}: async tools are refused in words", "wants StarlingMonkey" in done.stdout, done)
        return
    text = seen and seen.get("result", {}).get("structuredContent")
    sent = {"sent": {"bytes": 10000, "way": "there"}} if engine == "python" else {}
    check(f"{engine}: a tool fetches", text == {"status": 200, "text": "a page ü"} | sent, done)
    seen, done = longhaul("call", "fetched", "url=", "--url", url)
    check(f"{engine}: an own error of a tool that fetches", done.returncode == 1 and "no address" in done.stdout, done)


def killed(engine, component):
    data = Path(built, engine, "data")
    server, url = serve(component, data)
    seen, done = counted(url, "undisturbed")
    check(f"{engine}: undisturbed", seen == {"counted": 11}, done)
    failures(engine, url)
    # The kits of these languages alone have them.
    if engine != "c":
        folders(engine, url)
        fetches(engine, url)
    end(server)
    kills = 0
    for record in range(1, MANY):
        key = f"record-{record}"
        server, url = serve(component, data, LONGHAUL_CRASH=f"record:{record}")
        outlived = outlives(server, url, key)
        end(server)
        if outlived:
            break
        kills += 1
        server, url = serve(component, data)
        # The idempotency key finds the same task, which goes on.
        seen, done = counted(url, key)
        check(f"{engine}: killed at record {record}, counted once", seen == {"counted": 11}, done)
        task, _ = longhaul("task", "list", "--url", url)
        ids = [one["id"] for one in task["tasks"] if one["tool"] == "counted"]
        for output, expected in (("lines", "line 1 ü\nline 2 ü\n"), ("said", "far away")):
            text = subprocess.run(
                [binary, "task", "output", ids[0], output, "--url", url], capture_output=True, text=True, timeout=60)
            check(f"{engine}: each piece of {output} once", text.stdout == expected, text)
        if engine in WRITES_FILES:
            check(f"{engine}: the file of record {record}", (notes / key).read_text() == "ü", list(notes.iterdir()))
        end(server)
    check(f"{engine}: it ends before the last kill", 5 < kills < MANY - 1, kills)
    check(f"{engine}: each question was asked under one key", {len(keys) for keys in endpoint.keys.values()} == {1},
          endpoint.keys)
    endpoint.keys.clear()
    left = [path.name for path in notes.iterdir() if path.name.startswith(".")]
    check(f"{engine}: no part of a file is left", left == [], left)
    shutil.rmtree(notes)
    notes.mkdir()
    print(f"{engine}: killed at {kills} records")


endpoint = Endpoint()
configuration = Path(built, "longhaul.toml")
notes = Path(built, "notes").resolve()
notes.mkdir()
configuration.write_text(f"""[cli]
answer_without_terminal = true

[grants.exercise]
files = [{{ slot = "notes", at = "/notes", access = "write", path = "{notes}" }}]
state = ["kits"]
elicit = true
models = ["fast"]
http = ["http://127.0.0.1:{endpoint.server_port}"]

{endpoint.configuration()}""")
for engine in engines:
    component = Path(built, engine, "exercise.wasm")
    every_call(engine, component)
    killed(engine, component)
print(f"{passed} passed, {failed} failed")
sys.exit(bool(failed))
