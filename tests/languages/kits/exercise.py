"""Every call of the kit once; `counted` is what the server is killed in. The same as exercise.js."""

import longhaul
from longhaul import Tools  # noqa: F401

COUNT = {"properties": {"counted": {"type": "integer"}}, "type": "object", "required": ["counted"]}


@longhaul.tool("counted", "Counts its calls, each once.", {"key": {"type": "string"}}, output=COUNT, title="Counted",
               reply="inline", inline_wait=60, idempotent=False)
def counted(key):
    if longhaul.checkpoint.restore() is None:
        entry = longhaul.state.update("kits", key, lambda value: (value or 0) + 1)
        longhaul.checkpoint.save({"counted": entry.value, "text": "ü"})
    saved = longhaul.checkpoint.restore()
    said = longhaul.models.wait("fast", f"How far is {key}?", 50, output="said")
    if [said.text, said.usage] != ["far away", {"input_tokens": 7, "output_tokens": 5}]:
        raise longhaul.ToolError(f"{said.text}, {said.usage}")
    longhaul.files.write_once(f"/notes/{key}", saved["text"])
    longhaul.outputs.open("lines", "text/plain")
    for at in (1, 2):
        longhaul.outputs.append("lines", f"line {at} ü\n")
        longhaul.progress.report(at, 2, saved["text"])
        longhaul.timers.sleep(0.02)
    longhaul.outputs.close("lines")
    entry = longhaul.state.update("kits", key, lambda value: value + 10)
    return longhaul.Output("done", {"counted": entry.value})


def models(seen):
    seen.append(longhaul.models.granted())
    said = longhaul.models.take(longhaul.models.ask("fast", "Say something about tides.", 100, output="said"))
    seen.extend([said.text, said.usage["output_tokens"]])
    seen.append(longhaul.models.try_any("Say something about tides.", 100, system="Be brief.").text)
    asked = []

    def measure(use):
        asked.append(use["input"]["what"])
        if use["input"]["what"] == "moon":
            raise longhaul.ToolError("too far")
        return "three metres"

    tools = [{"name": "measure", "inputSchema": {"type": "object"}}]
    seen.append(longhaul.models.converse("fast", "How high is it?", 100, 3, measure, tools=tools).text)
    seen.append(asked)
    try:
        longhaul.models.wait("slow", "Say something.", 100)
    except longhaul.HostError as error:
        seen.append(error.kind)


@longhaul.tool("every_call", "Calls what the kit has.", {"expected": {"type": "array"}})
def every_call(expected):
    seen = []
    longhaul.progress.status("begins")
    for level in (longhaul.log.debug, longhaul.log.info, longhaul.log.warning, longhaul.log.error):
        level("a line")
    longhaul.outputs.write("whole", "application/octet-stream", b"\x00\xff")
    first, second = longhaul.timers.start(0.01), longhaul.timers.start(60)
    seen.append(longhaul.waits.any([second, first]) == [first])
    longhaul.waits.abandon(second)
    longhaul.waits.all([longhaul.timers.start(seconds) for seconds in (0.02, 0.01)])
    seen.append(longhaul.cancellation.requested())
    seen.append(longhaul.waits.any([longhaul.cancellation.signal()], 0))

    message = longhaul.messages.receive(["redirect"])
    seen.append([message.seq, message.name, message.payload])
    seen.append(longhaul.messages.receive(["another"], timeout=0))
    answer = longhaul.elicit.form("price", "How much?", {"price": {"type": "integer"}})
    seen.append([answer.kind, answer.content])
    seen.append(longhaul.elicit.confirm("sure", "Sure?", by="any", timeout=3600))
    said = longhaul.sample.wait("Say something about tides.", 100, system="Be brief.")
    seen.append(said.text)
    went_on = longhaul.sample.went_on(said, {})[:1]
    seen.append(longhaul.sample.wait(["user hello".split(" "), *went_on, ("user", "tides again")], 100).text)
    models(seen)

    try:
        longhaul.state.put("kits", "a", {"deep": [1, "ü"]}, if_version=7)
    except longhaul.HostError as error:
        seen.append([error.kind, error.version])
    seen.append(longhaul.state.put("kits", "a", {"deep": [1, "ü"]}, if_version=0, ttl=60) > 0)
    versions = longhaul.state.put_all("kits", [("b", 1), ("c", None)])
    seen.append(len(versions))
    seen.append([[entry.key, entry.value] for entry in longhaul.state.list("kits")])
    seen.append(longhaul.waits.any([longhaul.state.watch("kits", "b", 0)], 1) != [])
    seen.append(longhaul.state.changed("kits", "b", versions[0], 0))
    seen.append(longhaul.state.delete("kits", "b") > 0)
    seen.append(longhaul.state.get("kits", "b"))
    try:
        longhaul.state.get("others", "a")
    except longhaul.HostError as error:
        seen.append(error.kind)

    answer = longhaul.calls.call("helper", {"n": 1}, retries=1, timeout=30)
    seen.append([answer.structured, answer.text() != ""])
    requests = [longhaul.calls.request(tool, {"n": 2}) for tool in ("helper", "failing")]
    good, bad = longhaul.calls.join_all(longhaul.calls.spawn_all(requests))
    seen.append([good.structured, bad.kind, str(bad)])
    started = [longhaul.calls.spawn("failing", {"n": 2})]
    _, end = longhaul.calls.join_any(started)
    seen.append([end.kind, len(started), longhaul.calls.join_any(started)])
    try:
        longhaul.calls.call("other", {})
    except longhaul.HostError as error:
        seen.append(error.kind)
    for at, (one, other) in enumerate(zip(seen, expected, strict=True)):
        if one != other:
            raise ValueError(f"number {at} is {one!r}, not {other!r}")
    blocks = longhaul.Output("ok", {"seen": seen}).and_embedded("note:1", "text", "text/plain")
    return blocks.and_embedded("note:2", b"\x00").and_image(b"\x89", "image/png").and_link("note:3", "a note")


@longhaul.tool("fetched", "Fetches a page.", {"url": {"type": "string"}})
def fetched(url):
    if url == "":
        raise longhaul.ToolError("no address", {"why": 1})
    sent = longhaul.http.post(url, "ü" * 5000, {"X-Way": "there"})
    answer = longhaul.http.get(url + "?way=back")
    return {"status": answer.status, "text": answer.text(), "sent": sent.json()}


@longhaul.tool("folders", "The client's root folders.")
def folders():
    return {"folders": longhaul.roots.get()}


@longhaul.tool("wrong", "Fails as it is asked.", {"how": {"type": "string"}})
def wrong(how):
    if how == "tool":
        raise longhaul.ToolError("of the tool's own", {"why": 1})
    if how == "protocol":
        raise longhaul.ProtocolError(-32050, "of the protocol")
    if how == "host":
        longhaul.state.get("others", "a")
    raise ValueError("a trap")
