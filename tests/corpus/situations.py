"""The tasks that a store of the corpus holds, and how each goes on after it was frozen.

A situation is a call with a key of its own. `until` is where it stands when the store is frozen; `moves` is what the
test does then, in order; `ends` and `printed` are what must come of it, whatever was opened by whom. Waits that nobody
ends are ended by the clock, which the test moves on by days.
"""

HOUR, DAY = 3_600_000, 86_400_000

WAITING = {"state": "waiting"}
COMPLETED = {"state": "completed"}


def step(name):
    return {"op": "step", "name": name}


def sleep(ms):
    return {"op": "sleep", "ms": ms}


def fnv(data, start=0xCBF29CE484222325):
    for byte in data:
        start = ((start ^ byte) * 0x100000001B3) % 2**64
    return start


def answer_text(method, path, body):
    """What the web server of the corpus answers, here and in the test."""
    return f"{method} {path} {fnv(body.encode()):016x}"


def answered(method, path, body=""):
    """What the interpreter prints of it."""
    return f"200 {fnv(answer_text(method, path, body).encode()):016x}"


def situation(key, program, until, printed=None, ends=COMPLETED, moves=(), **more):
    call = {"tool": "run_program", "arguments": {"program": program}}
    return {"key": key, **call, "until": until, "printed": printed or {}, "ends": ends, "moves": list(moves), **more}


def call(program, **more):
    return {"tool": "run_program", "arguments": {"program": program}, **more}


def request(web, method, path, body=""):
    return {"method": method, "url": web + path, "body": body}


def timers():
    waiting = {"state": "waiting", "reason": "timer"}
    return [
        situation("timer-short", [step("a"), sleep(30_000), step("b")], waiting),
        situation("timer-days", [step("a"), sleep(3 * DAY), {"op": "clock"}, step("b"), sleep(2 * DAY), step("c")], waiting),
        # Those that are due together come in any order; the guest counts each once.
        situation("timer-many", [{"op": "wait_many", "ms": [HOUR, 3 * DAY, 2 * HOUR]}, step("a")], WAITING,
                  {"wait_many": ["* * *"]}),
        situation("timer-of-std", [{"op": "print", "text": "before"}, {"op": "nap", "ms": 2 * HOUR}, step("a")], WAITING,
                  {"print": ["before"]}),
        situation("chance", [{"op": "random", "bytes": 16}, {"op": "clock2"}, {"op": "instant"}, sleep(DAY), {"op": "instant"},
                             {"op": "random", "bytes": 16}, {"op": "clock"}, step("a")], waiting),
        situation("progress", [step("a"), {"op": "progress", "done": 3, "total": 9, "message": "a third"},
                               {"op": "status", "text": "a third is done"}, {"op": "log", "text": "a line"},
                               {"op": "output", "name": "part", "text": "written before"}, sleep(DAY), step("b"),
                               {"op": "output", "name": "other", "text": "written behind"}], waiting,
                  outputs={"part": "written before", "other": "written behind"}),
        situation("checkpoint", [step("a"), {"op": "checkpoint"}, {"op": "random", "bytes": 8}, step("b"), sleep(DAY), step("c"),
                                 {"op": "checkpoint"}, step("d")], waiting),
        situation("checkpoints", [{"op": "loop", "times": 3, "body": [step("l"), {"op": "checkpoint"}]}, sleep(DAY), step("z")],
                  waiting),
        situation("backoff", [step("a"), {"op": "trap"}], {"state": "queued", "reason": "retry"},
                  ends={"state": "failed", "reason": "trap"}),
    ]


def families():
    late = call([step("child"), sleep(DAY), step("late")])
    return [
        situation("call", [step("a"), {"op": "call", **late}, step("b")], {"state": "waiting", "reason": "child"},
                  {"call": ["ok *"]}),
        situation("children", [{"op": "spawn", "calls": [late, call([step("x")]), call([{"op": "fail", "text": "no"}])]},
                               {"op": "join_all"}, step("a")], {"state": "waiting", "reason": "child"},
                  {"spawn": ["3"], "join_all": ["ok *, ok *, tool_error *"]}),
        situation("any-child", [{"op": "spawn", "calls": [late, call([sleep(2 * DAY)])]}, {"op": "join_any"}, {"op": "join_any"}],
                  {"state": "waiting", "reason": "child"}, {"spawn": ["2"]}),
        situation("grandchild", [{"op": "call", **call([{"op": "call", **late}, step("between")])}, step("a")],
                  {"state": "waiting", "reason": "child"}, {"call": ["ok *"]}),
        situation("detached", [{"op": "spawn", "calls": [{**late, "detached": True}]}, step("a")], COMPLETED, {"spawn": ["1"]}),
        situation("child-again", [{"op": "call", **call([{"op": "protocol_error", "code": -5, "message": "no"}]),
                                   "retries": 1, "alternatives": ["nap"]}, step("a")], COMPLETED),
        situation("child-traps", [{"op": "call", **call([{"op": "trap"}]), "retries": 1}, step("a")],
                  {"state": "waiting", "reason": "child"}, {"call": ["failed"]}),
        situation("child-asks", [{"op": "call", **call([{"op": "ask", "key": "below"}])}, step("a")],
                  {"state": "waiting", "reason": "child"}, {"call": ["ok *"]},
                  moves=[{"answer_child": "below", "n": 4}]),
    ]


def questions():
    asks = {"state": "waiting", "reason": "input"}
    return [
        situation("ask", [step("a"), {"op": "ask", "key": "price"}, step("b")], asks, {"ask": ["7"]},
                  moves=[{"answer": "price", "n": 7}]),
        situation("ask-late", [{"op": "ask", "key": "late", "seconds": 3_600}, step("b")], asks, {"ask": ["timeout"]}),
        situation("ask-many", [{"op": "ask_many", "keys": ["x", "y", "z"]}, step("b")], asks, {"ask_many": ["1 2 decline"]},
                  before=[{"answer": "x", "n": 1}], moves=[{"answer": "y", "n": 2}, {"decline": "z"}]),
        situation("asked", [{"op": "ask", "key": "early"}, sleep(DAY), step("b")], WAITING, {"ask": ["5"]},
                  before=[{"answer": "early", "n": 5}]),
        situation("sample", [step("a"), {"op": "sample", "prompt": "Well?", "max_tokens": 20}, step("b")], asks,
                  {"sample": ["*: It is."]}, moves=[{"sample": "It is."}]),
        situation("inbox", [{"op": "receive", "names": ["go"]}, {"op": "receive", "names": ["note"]},
                            {"op": "receive", "names": ["note"]}, step("a")], WAITING,
                  {"receive": ['3 go {"n":9}', '1 note {"n":1}', '2 note "two"']},
                  before=[{"send": "note", "payload": {"n": 1}}, {"send": "note", "payload": "two"}],
                  moves=[{"send": "go", "payload": {"n": 9}}]),
        situation("inbox-late", [{"op": "receive", "names": ["never"], "timeout_ms": HOUR}, step("a")], WAITING,
                  {"receive": ["timeout"]}, before=[{"send": "other", "payload": 1}]),
        situation("received", [{"op": "receive", "names": ["go"]}, sleep(DAY), {"op": "receive", "names": []}, step("a")],
                  WAITING, {"receive": ["1 go 1", "2 go 2"]}, before=[{"send": "go", "payload": 1}, {"send": "go", "payload": 2}]),
        situation("to-parent", [{"op": "spawn", "calls": [call([{"op": "send", "to": "parent", "name": "hello", "payload": 1},
                                                                  sleep(DAY)])]},
                                {"op": "receive", "names": ["hello"]}, {"op": "join_all"}], WAITING,
                  {"receive": ["1 hello 1"], "join_all": ["ok *"]}),
        situation("await-cancel", [step("a"), {"op": "await_cancel"}, step("never")], WAITING,
                  ends={"state": "cancelled"}, moves=[{"cancel": True}], outputs={"cleanup": "cleaned up\n"}),
    ]


def state():
    put = {"op": "state_put", "namespace": "s"}
    return [
        situation("state", [{**put, "entries": [{"key": "watched", "value": 1}, {"key": "other", "value": {"a": [1, 2]}}]},
                            {**put, "entries": [{"key": "short", "value": 1, "ttl_seconds": 60}]},
                            {"op": "state_add", "namespace": "s", "key": "sum", "by": 5},
                            {"op": "state_add", "namespace": "s", "key": "sum", "by": 6},
                            {**put, "entries": [{"key": "gone", "value": 1}]},
                            {"op": "state_delete", "namespace": "s", "key": "gone"}], COMPLETED,
                  {"state_put": ["1 1", "1", "1"], "state_add": ["1 5", "2 11"]}),
        situation("watch", [step("a"), {"op": "state_watch", "namespace": "s", "key": "watched", "version": 1}, step("b")],
                  WAITING, {"state_watch": ["2 8"]}, moves=[{"put": "watched", "value": 8}]),
        situation("watch-late", [{"op": "state_watch", "namespace": "s", "key": "other", "version": 1, "timeout_ms": DAY}],
                  WAITING, {"state_watch": ["timeout"]}),
        situation("wrote", [{**put, "entries": [{"key": "mine", "value": 1}]}, {"op": "state_get", "namespace": "s", "key": "mine"},
                            sleep(DAY), {"op": "state_add", "namespace": "s", "key": "mine", "by": 1}], WAITING,
                  {"state_get": ["1 1"], "state_add": ["2 2"]}),
    ]


def ended():
    failed = {"state": "failed", "reason": "protocol_error"}
    cancelled = {"state": "cancelled"}
    long = "a line that is written often\n" * 700
    return [
        situation("done", [step("a"), step("b"), {"op": "output", "name": "whole", "text": "all of it"},
                           {"op": "progress", "done": 2, "total": 2}], COMPLETED, outputs={"whole": "all of it"}),
        # Its arguments and its output are kept apart, by their digest.
        situation("large", [{"op": "output", "name": "large", "text": long}], COMPLETED, outputs={"large": long}),
        situation("large-open", [{"op": "output", "name": "large", "text": long}, sleep(DAY)], WAITING, outputs={"large": long}),
        situation("tool-error", [step("a"), {"op": "fail", "text": "it does not work"}], COMPLETED),
        situation("failed", [step("a"), {"op": "protocol_error", "code": -7, "message": "no"}], failed, ends=failed),
        situation("failed-again", [step("a"), {"op": "protocol_error", "code": -7, "message": "no"}], failed, ends=failed,
                  moves=[{"retry": True}]),
        situation("cancelled", [step("a"), sleep(DAY), step("b")], cancelled, ends=cancelled, before=[{"cancel": True}]),
        situation("cancelled-again", [step("a"), sleep(DAY), step("b")], cancelled, before=[{"cancel": True}],
                  moves=[{"retry": True}]),
        situation("cancelled-from", [step("a"), {"op": "random", "bytes": 8}, step("b"), sleep(DAY), step("c")], cancelled,
                  before=[{"cancel": True}], moves=[{"retry": True, "from_step": 3}]),
        situation("cancelled-parent", [step("a"), {"op": "call", **call([sleep(DAY), step("c")])}, step("b")], cancelled,
                  {"call": ["ok *"]}, before=[{"cancel": True}], moves=[{"retry": True, "from_step": 2}]),
    ]


def http(web):
    return [
        situation("http-get", [{"op": "http", "request": request(web, "PUT", "/first", "one")}, {"op": "clock2"},
                               {"op": "http", "request": request(web, "GET", "/held/1")}, step("a")], {"asked": "/held/1"},
                  {"http": [answered("PUT", "/first", "one"), answered("GET", "/held/1")]}, once=["/first"]),
        situation("http-many", [{"op": "http_many", "requests": [request(web, "GET", "/quick/2"), request(web, "PUT", "/held/3", "x"),
                                                                  request(web, "GET", "/held/4")]},
                                step("a"), {"op": "http", "request": request(web, "GET", "/last")}], {"asked": "/held/4"},
                  {"http_many": [", ".join([answered("GET", "/quick/2"), answered("PUT", "/held/3", "x"), answered("GET", "/held/4")])],
                   "http": [answered("GET", "/last")]}),
        situation("http-post", [step("a"), {"op": "http", "request": request(web, "POST", "/held/pay", "100")}, step("b")],
                  {"asked": "/held/pay"}, {"http": [f"201 {fnv(b'paid'):016x}"]},
                  moves=[{"resolve": {"status": 201, "body": "paid"}}], once=["/held/pay"]),
        situation("http-resend", [{"op": "http", "request": request(web, "POST", "/held/again", "1")}, step("b")],
                  {"asked": "/held/again"}, {"http": [answered("POST", "/held/again", "1")]}, moves=[{"resolve": "resend"}]),
        situation("http-retry", [{"op": "http", "request": request(web, "POST", "/held/anew", "1")}, step("b")],
                  {"asked": "/held/anew"}, {"http": [answered("POST", "/held/anew", "1")]}, moves=[{"retry": True, "after": "unknown_outcome"}]),
        situation("http-done", [{"op": "http", "request": request(web, "POST", "/paid", "1")}, {"op": "http", "request": request(web, "GET", "/seen")},
                                sleep(DAY), {"op": "http", "request": request(web, "GET", "/after")}], WAITING,
                  {"http": [answered("POST", "/paid", "1"), answered("GET", "/seen"), answered("GET", "/after")]},
                  once=["/paid", "/seen", "/after"]),
    ]


def others():
    """Guests without the interpreter: a typed export over plain WASI."""
    return [
        {"key": "typed-nap", "tool": "nap", "arguments": {"ms": DAY}, "until": WAITING, "printed": {}, "ends": COMPLETED, "moves": []},
    ]


def busy(number=""):
    """At work when the store is frozen: its last steps are in nothing but the log."""
    return situation(f"busy{number}", [{"op": "loop", "times": 300, "body": [step("s"), {"op": "random", "bytes": 4}, {"op": "nap", "ms": 10}]}],
                     {"steps": 60})


def all_of(web):
    return timers() + families() + questions() + state() + ended() + http(web) + others()


def points(web):
    """Servers that died at a chosen call of the system: its name, what is brought about before, the call, and what leads to
    it."""
    asks = situation("ask", [step("a"), {"op": "ask", "key": "price"}, step("b")], {"state": "waiting", "reason": "input"},
                     {"ask": ["7"]}, moves=[{"answer": "price", "n": 7}])
    at_work = [busy(number) for number in range(4)]

    def posts(key, path, moves, printed):
        return situation(key, [step("a"), sleep(20_000), {"op": "http", "request": request(web, "POST", path, "100")}, step("b")],
                         {"state": "waiting", "reason": "timer"}, {"http": printed}, moves=moves)

    return [
        # Of the writes of a commit of several tasks some are there, and its sync is not.
        ("torn", [asks, *at_work], ("write", 3), {"answer": ("ask", "price", 7)}),
        # All of its writes are there, and nobody asked for their sync.
        ("unsynced", [asks, *at_work], ("before a sync", 1), {"answer": ("ask", "price", 7)}),
        # It is safe, and nobody has been told.
        ("untold", [asks, *at_work], ("behind a sync", 1), {"answer": ("ask", "price", 7)}),
        # That a request is about to leave is written, and it has not left.
        ("unsent", [posts("unsent", "/unsent", [{"resolve": "resend"}], [answered("POST", "/unsent", "100")])], ("connect", 1), {}),
        # It was answered, and that is not on disk.
        ("answered", [posts("answered", "/answered", [{"resolve": {"status": 201, "body": "paid"}}], [f"201 {fnv(b'paid'):016x}"])],
         ("write", 1), {"asked": "/answered"}),
    ]


def toolchains():
    """Programs that compilers of other languages made."""
    def program(tool):
        return {"key": tool, "tool": tool, "arguments": {}, "until": WAITING, "printed": {}, "ends": COMPLETED, "moves": [],
                # One number, drawn before the store was frozen and said again behind it.
                "result": ["drawn $", "still $, a day is over: true"]}

    return [program("c_program"), program("zig_program")]
