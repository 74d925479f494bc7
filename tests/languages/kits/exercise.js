// Every call of the kit once; `counted` is what the server is killed in. The same as exercise.py.
import {
    calls, cancellation, checkpoint, elicit, HostError, log, messages, models, Output, outputs, progress, ProtocolError,
    roots, sample, state, timers, tool, ToolError, waits,
} from "./longhaul.js";

export { tools } from "./longhaul.js";

const key = { key: { type: "string" } };
const output = { properties: { counted: { type: "integer" } }, type: "object", required: ["counted"] };
const annotations = { idempotent: false };
const inline = { title: "Counted", reply: "inline", inlineWaitSeconds: 60, annotations, output };

tool("counted", { description: "Counts its calls, each once.", properties: key, ...inline }, ({ key }) => {
    if (checkpoint.restore() === undefined) {
        const entry = state.update("kits", key, (value) => (value ?? 0) + 1);
        checkpoint.save({ counted: entry.value, text: "ü" });
    }
    const saved = checkpoint.restore();
    const said = models.wait("fast", `How far is ${key}?`, 50, { output: "said" });
    if (said.text !== "far away" || said.usage.inputTokens !== 7 || said.usage.outputTokens !== 5) {
        throw new ToolError(`${said.text}, ${JSON.stringify(said.usage)}`);
    }
    outputs.open("lines", "text/plain");
    for (const at of [1, 2]) {
        outputs.append("lines", `line ${at} ü\n`);
        progress.report(at, 2, saved.text);
        timers.sleep(20);
    }
    outputs.close("lines");
    const entry = state.update("kits", key, (value) => value + 10);
    return new Output("done", { counted: entry.value });
});

/** What the host refuses. */
function refused(work) {
    try {
        work();
    } catch (error) {
        if (error instanceof HostError) {
            return error;
        }
        throw error;
    }
    throw new Error("it was not refused");
}

function askModels(seen) {
    seen.push(models.granted());
    const said = models.take(models.ask("fast", "Say something about tides.", 100, { output: "said" }));
    seen.push(said.text, said.usage.outputTokens);
    seen.push(models.tryAny("Say something about tides.", 100, { system: "Be brief." }).text);
    const asked = [];
    const measure = ({ input }) => {
        asked.push(input.what);
        if (input.what === "moon") {
            throw new ToolError("too far");
        }
        return "three metres";
    };
    const tools = [{ name: "measure", inputSchema: { type: "object" } }];
    seen.push(models.converse("fast", "How high is it?", 100, 3, measure, { tools }).text);
    seen.push(asked);
    seen.push(refused(() => models.wait("slow", "Say something.", 100)).kind);
}

const expected = { expected: { type: "array" } };

tool("every_call", { description: "Calls what the kit has.", properties: expected }, ({ expected }) => {
    const seen = [];
    progress.status("begins");
    for (const level of ["debug", "info", "warning", "error"]) {
        log[level]("a line");
    }
    outputs.write("whole", "application/octet-stream", new Uint8Array([0, 255]));
    const [first, second] = [timers.start(10), timers.start(60_000)];
    seen.push(waits.any([second, first]).join() === `${first}`);
    waits.abandon(second);
    waits.all([timers.start(20), timers.start(10)]);
    seen.push(cancellation.requested());
    seen.push(waits.any([cancellation.signal()], 0));

    const message = messages.receive(["redirect"]);
    seen.push([message.seq, message.name, message.payload]);
    seen.push(messages.receive(["another"], 0) ?? null);
    const answer = elicit.form("price", "How much?", { properties: { price: { type: "integer" } } });
    seen.push([answer.kind, answer.content]);
    seen.push(elicit.confirm("sure", "Sure?", { by: "any", timeout: 3_600_000 }));
    const said = sample.wait("Say something about tides.", 100, { system: "Be brief." });
    seen.push(said.text);
    const [wentOn] = sample.wentOn(said, {});
    seen.push(sample.wait([["user", "hello"], wentOn, ["user", "tides again"]], 100).text);
    askModels(seen);

    const conflict = refused(() => state.put("kits", "a", { deep: [1, "ü"] }, { ifVersion: 7 }));
    seen.push([conflict.kind, conflict.version]);
    seen.push(state.put("kits", "a", { deep: [1, "ü"] }, { ifVersion: 0, ttl: 60_000 }) > 0);
    const versions = state.putAll("kits", [{ key: "b", value: 1 }, { key: "c", value: null }]);
    seen.push(versions.length);
    seen.push(state.list("kits").map(({ key, value }) => [key, value]));
    seen.push(waits.any([state.watch("kits", "b", 0)], 1000).length > 0);
    seen.push(state.changed("kits", "b", versions[0], 0));
    seen.push(state.delete("kits", "b") > 0);
    seen.push(state.get("kits", "b") ?? null);
    seen.push(refused(() => state.get("others", "a")).kind);

    const helped = calls.call("helper", { n: 1 }, { retries: 1, timeout: 30_000 });
    seen.push([helped.structured, helped.text() !== ""]);
    const children = calls.spawnAll(["helper", "failing"].map((tool) => ({ tool, args: { n: 2 } })));
    const [good, bad] = calls.joinAll(children);
    seen.push([good.structured, bad.kind, bad.message]);
    const started = [calls.spawn("failing", { n: 2 })];
    const [, end] = calls.joinAny(started);
    seen.push([end.kind, started.length, calls.joinAny(started) ?? null]);
    seen.push(refused(() => calls.call("other", {})).kind);
    for (let at = 0; at < Math.max(seen.length, expected.length); at += 1) {
        const [one, other] = [seen[at], expected[at]].map((value) => JSON.stringify(value));
        if (one !== other) {
            throw new Error(`number ${at} is ${one}, not ${other}`);
        }
    }
    const blocks = new Output("ok", { seen }).andEmbedded("note:1", "text", "text/plain");
    return blocks.andEmbedded("note:2", new Uint8Array([0])).andImage(new Uint8Array([137]), "image/png").andLink("note:3", "a note");
});

tool("fetched", { description: "Fetches a page.", properties: { url: { type: "string" } } }, async ({ url }) => {
    if (url === "") {
        throw new ToolError("no address", { why: 1 });
    }
    const answer = await fetch(url);
    timers.sleep(10);
    return { status: answer.status, text: await answer.text() };
});

tool("folders", { description: "The client's root folders." }, () => {
    return { folders: roots.get().map(({ uri, name }) => [uri, name ?? null]) };
});

tool("wrong", { description: "Fails as it is asked.", properties: { how: { type: "string" } } }, ({ how }) => {
    if (how === "tool") {
        throw new ToolError("of the tool's own", { why: 1 });
    }
    if (how === "protocol") {
        throw new ProtocolError(-32050, "of the protocol");
    }
    if (how === "host") {
        state.get("others", "a");
    }
    throw new TypeError("a trap");
});
