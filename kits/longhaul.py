"""Longhaul's kit for tools in Python, in one file: the calls of the world `longhaul:tool`, for componentize-py.

    import longhaul
    from longhaul import Tools  # what the component exports

    @longhaul.tool("greet", "Greets a person.", {"name": {"type": "string"}})
    def greet(name):
        longhaul.progress.report(1, 1, "greeting")
        return f"Hello, {name}!"

A tool returns a text, a JSON value or an `Output`. `ToolError` is an error that a model can read, `ProtocolError` refuses
the call itself; a `HostError` that is not caught is a tool error too. Any other exception ends the attempt as a trap.
Times are seconds. A call needs its interface in the world of `wit/`; what the world leaves out says so when it is used.
"""

import importlib
import json
import math
import os
from urllib.parse import urlsplit

from componentize_py_types import Err


class ToolError(Exception):
    """The tool ran and reports an error. `structured` is a JSON value for programs."""

    def __init__(self, message, structured=None):
        super().__init__(message)
        self.structured = structured


class ProtocolError(Exception):
    """The call is answered with a JSON-RPC error."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class HostError(Exception):
    """The host did not do it. `kind` is not-granted, invalid, limit, not-found, unavailable or conflict."""

    def __init__(self, kind, message, version=None):
        super().__init__(message)
        # Of a conflict the entry's present version.
        self.kind, self.version = kind, version


class CallError(Exception):
    """A called tool brought nothing. `kind` is tool, protocol, failed, timed-out or cancelled."""

    def __init__(self, kind, message, answer=None, code=None):
        super().__init__(message)
        self.kind, self.answer, self.code = kind, answer, code


class _Absent:
    """An interface that the component's world does not import."""

    def __init__(self, name, line):
        self._name, self._line = name, line

    def __getattr__(self, _):
        raise RuntimeError(f"the component's world has no {self._name}: write `{self._line}` into wit/world.wit and build again")


def _interface(name, package="longhaul_tool", line=None):
    # Where the world has two of a name, as `types` of longhaul:tool and of wasi:http, both have those of their packages in front.
    for module in (f"{package}_{name}", name):
        try:
            return importlib.import_module(f"wit_world.imports.{module}")
        except ModuleNotFoundError:
            pass
    return _Absent(name, line or f"import longhaul:tool/{name}@0.1.0;")


_types, _tools = _interface("types"), _interface("tools")
_hosts = {
    name: _interface(name)
    for name in (
        "progress log outputs waits timers checkpoint cancellation messages elicitation sampling models roots state calls"
    ).split()
}


_handler, _http, _streams = (
    _interface(name, package, "import wasi:http/outgoing-handler@0.2.1;")
    for package, name in (("wasi_http", "outgoing_handler"), ("wasi_http", "types"), ("wasi_io", "streams")))


def _kind(variant):
    """`NotGranted` of `Error_NotGranted` as `not-granted`."""
    name = type(variant).__name__.split("_", 1)[-1]
    return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")


def _ask(interface, function, *arguments):
    try:
        return getattr(_hosts[interface], function)(*arguments)
    except Err as error:
        raise _host_error(error.value) from None


def _host_error(value):
    kind = _kind(value)
    if kind == "conflict":
        return HostError(kind, f"the entry has version {value.value} by now", value.value)
    return _host_error(value.value) if kind == "refused" else HostError(kind, value.value)


def _millis(seconds):
    return None if seconds is None else math.ceil(seconds * 1000)


def _seconds(seconds):
    return None if seconds is None else max(1, math.ceil(seconds))


def _bytes(data):
    return data.encode() if isinstance(data, str) else bytes(data)


def _maybe_json(value):
    return None if value is None else json.dumps(value)


def _parsed(text):
    return None if text is None else json.loads(text)


class Output:
    """A result: blocks of content, and a JSON value that fits the tool's output schema where it has one."""

    def __init__(self, text=None, structured=None):
        self.content, self.structured = [], structured
        if text is not None:
            self.and_text(text)

    def and_text(self, text):
        self.content.append(_types.Content_Text(text))
        return self

    def and_image(self, data, mime_type):
        self.content.append(_types.Content_Image(_types.Blob(data, mime_type)))
        return self

    def and_audio(self, data, mime_type):
        self.content.append(_types.Content_Audio(_types.Blob(data, mime_type)))
        return self

    def and_link(self, uri, name, title=None, description=None, mime_type=None):
        self.content.append(_types.Content_Link(_types.Link(uri, name, title, description, mime_type)))
        return self

    def and_embedded(self, uri, body, mime_type=None):
        """A resource that stands in the result: a text, or bytes."""
        kind = _types.EmbeddedBody_Text if isinstance(body, str) else _types.EmbeddedBody_Data
        self.content.append(_types.Content_Embedded(_types.Embedded(uri, mime_type, kind(body))))
        return self

    def text(self):
        """All its text."""
        return "\n".join(block.value for block in self.content if isinstance(block, _types.Content_Text))


def _output(value):
    if isinstance(value, Output):
        return _tools.Output(value.content, _maybe_json(value.structured))
    if isinstance(value, str):
        return _tools.Output([_types.Content_Text(value)], None)
    if value is None:
        return _tools.Output([], None)
    text = json.dumps(value)
    return _tools.Output([_types.Content_Text(text)], text)


def _answer(output):
    answer = Output(structured=_parsed(output.structured))
    answer.content = output.content
    return answer


_registered = {}
_INVALID_PARAMS = -32602


def _object(properties=None, required=None):
    """The schema of an object with these properties, all of them required unless some are named."""
    properties = properties or {}
    return {"type": "object", "properties": properties, "required": list(properties if required is None else required)}


def tool(name, description, properties=None, *, required=None, schema=None, output=None, title=None, reply=None,
         inline_wait=None, read_only=None, destructive=None, idempotent=None, open_world=None):
    """Makes a tool of a function, whose keyword arguments are the call's.

    `properties` maps each argument to its JSON Schema; all are required unless `required` names those that are. `schema`
    is a whole schema in their place, `output` that of the result. `reply` is link (the default), inline, for which
    `inline_wait` seconds may be given, or task.
    """
    if schema is None:
        schema = _object(properties, required)
    hints = (read_only, destructive, idempotent, open_world)
    definition = _tools.Definition(
        name=name, title=title, description=description, input_schema=json.dumps(schema), output_schema=_maybe_json(output),
        annotations=None if hints == (None,) * 4 else _tools.Annotations(*hints),
        reply=None if reply is None else _tools.Reply[reply.upper()], inline_wait_seconds=inline_wait)

    def register(function):
        _registered[name] = (definition, function)
        return function

    return register


class Tools:
    """What the component exports: import it into the module that componentize-py is given."""

    def definitions(self):
        return [definition for definition, _ in _registered.values()]

    def call(self, name, arguments):
        try:
            if name not in _registered:
                raise ProtocolError(_INVALID_PARAMS, f"this component has no tool `{name}`")
            return _output(_registered[name][1](**json.loads(arguments)))
        except ProtocolError as error:
            wrong = _tools.ProtocolError(error.code, error.message, _maybe_json(error.data))
            raise Err(_tools.Failure_Protocol(wrong)) from None
        except (ToolError, HostError, CallError) as error:
            said = Output(str(error), getattr(error, "structured", None))
            raise Err(_tools.Failure_Tool(_output(said))) from None


class progress:
    """Watchers see it once it is on disk."""

    @staticmethod
    def report(done, total=None, message=None):
        _ask("progress", "report", done, total, message)

    @staticmethod
    def status(message):
        _ask("progress", "status", message)


def _line(level):
    return staticmethod(lambda message: log.write(level, message))


class log:
    """Lines of the task's log, as what is printed."""

    @staticmethod
    def write(level, message):
        _ask("log", "write", _hosts["log"].Level[level.upper()], message)

    debug, info, notice, warning, error = map(_line, ("debug", "info", "notice", "warning", "error"))


class outputs:
    """Named partial results, readable while the task runs. They only grow."""

    @staticmethod
    def write(name, mime_type, data):
        """A whole output in one commit."""
        _ask("outputs", "write", name, mime_type, _bytes(data))

    @staticmethod
    def open(name, mime_type):
        _ask("outputs", "open", name, mime_type)

    @staticmethod
    def append(name, data):
        _ask("outputs", "append", name, _bytes(data))

    @staticmethod
    def close(name):
        """Says that it is whole."""
        _ask("outputs", "close", name)


class timers:
    """A restart does not begin them again: the due time stays."""

    @staticmethod
    def sleep(seconds):
        _ask("timers", "sleep", _millis(seconds))

    @staticmethod
    def start(seconds):
        """A ticket that is ready after this time."""
        return _ask("timers", "start", _millis(seconds))


class waits:
    """One wait for tickets of any kind."""

    @staticmethod
    def any(tickets, timeout=None):
        """Those that are ready, in the order given; none when the time is over."""
        return _ask("waits", "wait", list(tickets), _millis(timeout))

    @staticmethod
    def all(tickets):
        open_ones = list(tickets)
        while open_ones:
            ready = waits.any(open_ones)
            open_ones = [ticket for ticket in open_ones if ticket not in ready]

    @staticmethod
    def abandon(ticket):
        _ask("waits", "abandon", ticket)


class checkpoint:
    """A restart begins at the tool's first line with what was saved, in the place of a replay of all before."""

    @staticmethod
    def save(state):
        """Saves a JSON value; no ticket may be open. The tool is begun again at once: this returns only where the state is
        the one that was saved last."""
        _ask("checkpoint", "save", json.dumps(state, sort_keys=True).encode())

    @staticmethod
    def restore():
        """What was saved last, or None."""
        state = _ask("checkpoint", "restore")
        return None if state is None else json.loads(state)


class cancellation:
    """A world that imports it has a few seconds to clean up."""

    @staticmethod
    def requested():
        return _ask("cancellation", "requested")

    @staticmethod
    def signal():
        """A ticket that is ready once cancellation was requested."""
        return _ask("cancellation", "signal")


class Message:
    """As it was sent: `seq`, `name`, `payload` and `sender`."""

    def __init__(self, seq, name, payload, sender):
        self.seq, self.name, self.payload, self.sender = seq, name, payload, sender


class messages:
    """What others send to the running task: in order, each once."""

    @staticmethod
    def ticket(names=()):
        """Ready when a message with one of these names (any, if empty) is there."""
        return _ask("messages", "receive", list(names))

    @staticmethod
    def take(ticket):
        found = _ask("messages", "take", ticket)
        return Message(found.seq, found.name, json.loads(found.payload), found.sender)

    @staticmethod
    def receive(names=(), timeout=None):
        """Waits for one; None when the time is over."""
        ticket = messages.ticket(names)
        if not waits.any([ticket], timeout):
            waits.abandon(ticket)
            return None
        return messages.take(ticket)

    @staticmethod
    def send(to, name, payload):
        """To `parent` or the id of a child; the message's number there."""
        return _ask("messages", "send", to, name, json.dumps(payload))


class Answer:
    """`kind` is accept, decline, cancel or timeout; `content` what was accepted."""

    def __init__(self, kind, content=None):
        self.kind, self.content = kind, content

    def __bool__(self):
        return self.kind == "accept"


class elicit:
    """Questions to a person, or with `by="any"` to a model too; asked once and answered once."""

    @staticmethod
    def ask(key, message, properties=None, *, schema=None, url=None, by="person", timeout=None):
        """A ticket. `key` names the question within its task."""
        host = _hosts["elicitation"]
        if url is not None:
            form = host.Form_Url(url)
        else:
            form = host.Form_Schema(json.dumps(schema or _object(properties)))
        return _ask("elicitation", "ask", host.Question(key, message, form, host.By[by.upper()], _seconds(timeout)))

    @staticmethod
    def take(ticket):
        answer = _ask("elicitation", "take", ticket)
        kind = _kind(answer)
        return Answer(kind, json.loads(answer.value) if kind == "accept" else None)

    @staticmethod
    def form(key, message, properties=None, **options):
        """Asks and waits, for days if need be."""
        return elicit.take(elicit.ask(key, message, properties, **options))

    @staticmethod
    def confirm(key, message, **options):
        """Whether a person said yes."""
        answer = elicit.form(key, message, {"confirm": {"type": "boolean"}}, **options)
        return bool(answer) and answer.content.get("confirm") is True


class Sampled:
    """What a model said: `text`, `tool_uses` as dicts with id, name and input, `model`, `stop_reason`, and `raw`, the
    whole message as MCP has it. `usage` has what an answer of `models` cost, as input_tokens and output_tokens."""

    def __init__(self, response, usage=None):
        self.usage = usage
        parts, self.parts = response.content, response.content
        host = _hosts["sampling"]
        self.model, self.stop_reason, self.raw = response.model, response.stop_reason, json.loads(response.raw)
        blocks = [part.value for part in parts if isinstance(part, host.Part_Content)]
        self.text = "\n".join(block.value for block in blocks if isinstance(block, _types.Content_Text))
        used = [part.value for part in parts if isinstance(part, host.Part_ToolUse)]
        self.tool_uses = [{"id": use.id, "name": use.name, "input": json.loads(use.input)} for use in used]


def _pairs(prompt):
    return [("user", prompt)] if isinstance(prompt, str) else list(prompt)


def _request(prompt, max_tokens, *, system=None, temperature=None, stop=(), tools=None, tool_choice=None, preferences=None):
    host = _hosts["sampling"]
    said = [pair if isinstance(pair, host.Message) else host.Message(
        host.Role[pair[0].upper()], [host.Part_Content(_types.Content_Text(pair[1]))]) for pair in _pairs(prompt)]
    return host.Request(said, system, max_tokens, temperature, list(stop), _maybe_json(preferences), _maybe_json(tools),
                        _maybe_json(tool_choice))


def _is_there(work):
    """What it comes to, or None where there is no model."""
    try:
        return work()
    except HostError as error:
        if error.kind != "unavailable":
            raise
        return None


class sample:
    """Help from the client's model, or from the one that the operator has configured."""

    @staticmethod
    def ask(prompt, max_tokens, **options):
        """A ticket. `prompt` is a text, or a list of messages: pairs of user or assistant and a text, and of `went_on`.
        Options: system, temperature, stop, and MCP's tools, tool_choice and preferences as they are."""
        return _ask("sampling", "ask", _request(prompt, max_tokens, **options))

    @staticmethod
    def take(ticket):
        return Sampled(_ask("sampling", "take", ticket))

    @staticmethod
    def wait(prompt, max_tokens, **options):
        """Asks and waits; a HostError of the kind unavailable says that there is no model."""
        return sample.take(sample.ask(prompt, max_tokens, **options))

    @staticmethod
    def try_wait(prompt, max_tokens, **options):
        """The same, for a tool that can do without: None where there is no model."""
        return _is_there(lambda: sample.wait(prompt, max_tokens, **options))

    @staticmethod
    def went_on(said, results):
        """Two messages more: what the model said, and what its tool uses came to, by their ids: a text, or a ToolError
        where one failed."""
        host = _hosts["sampling"]
        parts = [host.Part_ToolResult(host.ToolResult(use, [_types.Content_Text(str(text))], None, isinstance(text, ToolError)))
                 for use, text in results.items()]
        return [host.Message(host.Role.ASSISTANT, said.parts), host.Message(host.Role.USER, parts)]


class models:
    """Models that the operator has configured and granted by name: asked by the server itself, without any client. What a
    prompt is, and the options, are those of `sample`."""

    @staticmethod
    def granted():
        """The names of those that are granted and configured."""
        return _ask("models", "granted")

    @staticmethod
    def ask(model, prompt, max_tokens, *, output=None, **options):
        """A ticket. `output` names a new output, which the text is written into as it comes."""
        return _ask("models", "ask", model, _request(prompt, max_tokens, **options), output)

    @staticmethod
    def take(ticket):
        """What it said, and what that cost."""
        answer = _ask("models", "take", ticket)
        usage = {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens}
        return Sampled(answer.response, usage)

    @staticmethod
    def wait(model, prompt, max_tokens, **options):
        """Asks and waits."""
        return models.take(models.ask(model, prompt, max_tokens, **options))

    @staticmethod
    def try_any(prompt, max_tokens, **options):
        """The first of the granted ones that can answer, else the client's model; None where there is neither."""
        for model in models.granted():
            said = _is_there(lambda: models.wait(model, prompt, max_tokens, **options))
            if said is not None:
                return said
        return sample.try_wait(prompt, max_tokens, **options)

    @staticmethod
    def converse(model, prompt, max_tokens, turns, act, **options):
        """An agent's loop: asks, has `act` do each tool use (a dict with id, name and input) and says what it returned, or
        that it failed where it raised a ToolError, until the model has its answer. Each turn is a step of its own, so that a
        restart goes on where the loop was. After `turns` it ends with what was said last."""
        said = models.wait(model, prompt, max_tokens, **options)
        messages = _pairs(prompt)
        for _ in range(1, turns):
            if not said.tool_uses:
                break
            messages += sample.went_on(said, {use["id"]: _acted(act, use) for use in said.tool_uses})
            said = models.wait(model, messages, max_tokens, **options)
        return said


def _acted(act, use):
    try:
        return act(use)
    except ToolError as error:
        return error


class files:
    """Files of the folders that are granted are Python's own: open, os and pathlib."""

    @staticmethod
    def write_once(path, data):
        """Puts a whole file in place, over one that is there: no reader sees a part of it, and no crash leaves one. It is
        written as `.NAME.part` in the same folder, and renamed once it is on disk."""
        folder, name = os.path.split(path)
        part = os.path.join(folder, f".{name}.part")
        with open(part, "wb") as file:
            file.write(_bytes(data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


class Response:
    """The answer to a request: `status`, `headers` as a dict with names in lower case, and `body`, bytes that have come whole."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


# Of a request's body, in one write; of an answer's, in one read.
_WRITE_BYTES, _READ_BYTES = 4096, 65536


class http:
    """Requests to what the tool's manifest asks for as `http`. The world needs `import wasi:http/outgoing-handler@0.2.1;`."""

    @staticmethod
    def request(method, url, body=None, headers=None):
        """A `Response`; a HostError of the kind unavailable where there is none, or it is not complete."""
        name = method.upper()
        try:
            request, whole = _outgoing(name, url, headers or {})
            with _handler.handle(request, None) as future:
                _send(whole, body)
                with future.subscribe() as ready:
                    ready.block()
                came = future.get().value
            if isinstance(came, Err):
                raise came
            with came.value as response:
                return _whole(response)
        except Err as error:
            why = _kind(error.value) if error.value is not None else "it is no request"
            more = getattr(error.value, "value", None)
            words = f"{why} ({more})" if isinstance(more, str) else why
            raise HostError("unavailable", f"{name} {url}: {words}") from None

    @staticmethod
    def get(url, headers=None):
        return http.request("GET", url, None, headers)

    @staticmethod
    def post(url, body, headers=None):
        return http.request("POST", url, body, headers)


def _outgoing(method, url, headers):
    parts = urlsplit(url)
    fields = _http.Fields.from_list([(name, _bytes(value)) for name, value in headers.items()])
    request = _http.OutgoingRequest(fields)
    known = getattr(_http, f"Method_{method.capitalize()}", None)
    request.set_method(known() if known else _http.Method_Other(method))
    request.set_scheme(_http.Scheme_Http() if parts.scheme == "http" else _http.Scheme_Https())
    request.set_authority(parts.netloc)
    request.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return request, request.body()


def _send(whole, body):
    if body:
        data = _bytes(body)
        with whole.write() as stream:
            for at in range(0, len(data), _WRITE_BYTES):
                stream.blocking_write_and_flush(data[at : at + _WRITE_BYTES])
    _http.OutgoingBody.finish(whole, None)


def _whole(response):
    with response.headers() as fields:
        headers = {name.lower(): value.decode(errors="replace") for name, value in fields.entries()}
    pieces = []
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                pieces.append(stream.blocking_read(_READ_BYTES))
            except Err as error:
                if isinstance(error.value, _streams.StreamError_Closed):
                    return Response(response.status(), headers, b"".join(pieces))
                raise HostError("unavailable", "the answer is not complete") from None


class roots:
    """The client's root folders, as names."""

    @staticmethod
    def ask():
        """A ticket."""
        return _ask("roots", "ask")

    @staticmethod
    def take(ticket):
        """Pairs of a URI and a name, which may be None."""
        return [(root.uri, root.name) for root in _ask("roots", "take", ticket)]

    @staticmethod
    def get():
        """Asks and waits."""
        return roots.take(roots.ask())


class Entry:
    """Of the shared state; version 0 is an entry that does not exist."""

    def __init__(self, key, value, version):
        self.key, self.value, self.version = key, value, version


def _entry(found):
    return Entry(found.key, json.loads(found.value), found.version)


class state:
    """Entries that agents share. A write is one step, done once."""

    @staticmethod
    def get(namespace, key):
        """An `Entry`, or None."""
        found = _ask("state", "get", namespace, key)
        return None if found is None else _entry(found)

    @staticmethod
    def put(namespace, key, value, if_version=None, ttl=None):
        """The new version. `if_version` that is not the entry's is a HostError of the kind conflict."""
        return state.put_all(namespace, [(key, value, if_version, ttl)])[0]

    @staticmethod
    def put_all(namespace, entries):
        """All or none, of (key, value) or (key, value, if_version, ttl); the new versions."""
        request = _hosts["state"].PutRequest
        filled = [tuple(entry) + (None,) * (4 - len(entry)) for entry in entries]
        wanted = [request(key, json.dumps(value), version, _seconds(ttl)) for key, value, version, ttl in filled]
        return _ask("state", "put", namespace, wanted)

    @staticmethod
    def update(namespace, key, change):
        """Reads, changes (None where there is no entry) and writes, again where another was faster."""
        while True:
            found = state.get(namespace, key)
            value = change(found.value if found else None)
            try:
                return Entry(key, value, state.put(namespace, key, value, found.version if found else 0))
            except HostError as error:
                if error.kind != "conflict":
                    raise

    @staticmethod
    def delete(namespace, key, if_version=None):
        """The version of the deletion; 0 where there was nothing to delete."""
        return _ask("state", "delete", namespace, key, if_version)

    @staticmethod
    def list(namespace, prefix=""):
        """All entries whose keys begin so."""
        entries, cursor = [], None
        while True:
            page = _ask("state", "list", namespace, prefix, 0, cursor)
            entries += [_entry(found) for found in page.entries]
            cursor = page.next_cursor
            if cursor is None:
                return entries

    @staticmethod
    def watch(namespace, key, version):
        """A ticket that is ready when the entry has another version."""
        return _ask("state", "watch", namespace, key, version)

    @staticmethod
    def changed(namespace, key, version, timeout=None):
        """Waits until the entry has another version; whether it has."""
        ticket = state.watch(namespace, key, version)
        ready = waits.any([ticket], timeout)
        if not ready:
            waits.abandon(ticket)
        return bool(ready)


class Child:
    """A call under way."""

    def __init__(self, ticket, task_id):
        self.ticket, self.task_id = ticket, task_id

    def join(self):
        """Waits for its `Output`; raises a CallError where it brought none."""
        try:
            return _answer(_hosts["calls"].take(self.ticket))
        except Err as error:
            raise _call_error(error.value) from None

    def cancel(self):
        waits.abandon(self.ticket)


def _end(child):
    try:
        return child.join()
    except (CallError, HostError) as error:
        return error


def _call_error(error):
    kind, value = _kind(error), error.value
    if kind == "refused":
        return _host_error(value)
    if kind != "failure":
        return CallError(kind, value)
    if isinstance(value, _tools.Failure_Protocol):
        return CallError("protocol", value.value.message, code=value.value.code)
    answer = _answer(value.value)
    return CallError("tool", answer.text(), answer)


class calls:
    """Calls to other tools, each a task of its own, begun once whatever crashes."""

    @staticmethod
    def request(tool, arguments, *, alternatives=(), retries=0, timeout=None, detached=False):
        """For `spawn_all`."""
        return _hosts["calls"].Request(
            tool, json.dumps(arguments), list(alternatives), retries, _seconds(timeout), detached)

    @staticmethod
    def spawn_all(requests):
        """Starts several in one commit, all or none."""
        return [Child(child.ticket, child.task_id) for child in _ask("calls", "start", list(requests))]

    @staticmethod
    def spawn(tool, arguments, **options):
        return calls.spawn_all([calls.request(tool, arguments, **options)])[0]

    @staticmethod
    def call(tool, arguments, **options):
        """Calls one and waits for its `Output`."""
        return calls.spawn(tool, arguments, **options).join()

    @staticmethod
    def join_all(children):
        """What each came to, in their order: an `Output`, or the error in its place."""
        ends = []
        for child in children:
            ends.append(_end(child))
        return ends

    @staticmethod
    def join_any(children, timeout=None):
        """Waits for the first and takes it out of the list: a pair of it and what it came to; None when the time is over."""
        ready = waits.any([child.ticket for child in children], timeout) if children else []
        if not ready:
            return None
        child = next(child for child in children if child.ticket == ready[0])
        children.remove(child)
        return child, _end(child)

    @staticmethod
    def granted():
        """The tools that it may call, as dicts with name, description and schema."""
        return [{"name": tool.name, "description": tool.description, "schema": json.loads(tool.input_schema)}
                for tool in _ask("calls", "granted")]
