// Longhaul's kit for tools in JavaScript, in one file: the calls of the world `longhaul:tool`, for componentize-js
// (StarlingMonkey) and componentize-qjs (QuickJS).
//
//     import { tool, progress } from "./longhaul.js";
//     export { tools } from "./longhaul.js"; // what the component exports
//
//     tool("greet", { description: "Greets a person.", properties: { name: { type: "string" } } }, ({ name }) => {
//         progress.report(1, 1, "greeting");
//         return `Hello, ${name}!`;
//     });
//
// A tool returns a text, a JSON value or an `Output`. `ToolError` is an error that a model can read, `ProtocolError`
// refuses the call itself; a `HostError` that is not caught is a tool error too. Any other error ends the attempt as a
// trap. Times are milliseconds. Functions of the host wait by themselves: there is nothing to await. A tool may be async all the
// same on StarlingMonkey, which has `fetch`.

import * as hostCalls from "longhaul:tool/calls@0.1.0";
import * as hostCancellation from "longhaul:tool/cancellation@0.1.0";
import * as hostCheckpoint from "longhaul:tool/checkpoint@0.1.0";
import * as hostElicitation from "longhaul:tool/elicitation@0.1.0";
import * as hostLog from "longhaul:tool/log@0.1.0";
import * as hostMessages from "longhaul:tool/messages@0.1.0";
import * as hostModels from "longhaul:tool/models@0.1.0";
import * as hostOutputs from "longhaul:tool/outputs@0.1.0";
import * as hostProgress from "longhaul:tool/progress@0.1.0";
import * as hostRoots from "longhaul:tool/roots@0.1.0";
import * as hostSampling from "longhaul:tool/sampling@0.1.0";
import * as hostState from "longhaul:tool/state@0.1.0";
import * as hostTimers from "longhaul:tool/timers@0.1.0";
import * as hostWaits from "longhaul:tool/waits@0.1.0";

/** The tool ran and reports an error; `structured` is a JSON value for programs. */
export class ToolError extends Error {
    constructor(message, structured) {
        super(message);
        this.structured = structured;
    }
}

/** The call is answered with a JSON-RPC error. */
export class ProtocolError extends Error {
    constructor(code, message, data) {
        super(message);
        Object.assign(this, { code, data });
    }
}

/** The host did not do it: `kind` is not-granted, invalid, limit, not-found, unavailable or conflict. */
export class HostError extends Error {
    constructor(kind, message, version) {
        super(message);
        // Of a conflict the entry's present version.
        Object.assign(this, { kind, version });
    }
}

/** A called tool brought nothing: `kind` is tool, protocol, failed, timed-out or cancelled. */
export class CallError extends Error {
    constructor(kind, message, more) {
        super(message);
        Object.assign(this, { kind, ...more });
    }
}

/** Calls the host; what it refuses is thrown as one of the errors above. */
function ask(work, asError = hostError) {
    try {
        return work();
    } catch (error) {
        const refused = error?.payload ?? error;
        throw typeof refused?.tag === "string" ? asError(refused) : error;
    }
}

function hostError({ tag, val }) {
    if (tag === "conflict") {
        return new HostError(tag, `the entry has version ${val} by now`, Number(val));
    }
    return tag === "refused" ? hostError(val) : new HostError(tag, val);
}

// QuickJS has no TextEncoder.
const utf8 = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (unit) => unit.charCodeAt(0));
const fromUtf8 = (bytes) => decodeURIComponent(escape(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
const encode = (data) => (typeof data === "string" ? utf8(data.toWellFormed?.() ?? data) : data);
const json = (value) => (value === undefined ? undefined : JSON.stringify(value));
// None is undefined to the one engine and null to the other; 64 bits are a bigint to the one and a number to the other.
const isNone = (value) => value === undefined || value === null;
const parsed = (text) => (isNone(text) ? undefined : JSON.parse(text));
// `wit` is a name of componentize-qjs.
const isQuickJs = typeof globalThis.wit !== "undefined";
const wide = isQuickJs ? Number : BigInt;
const whole = (number) => (isNone(number) ? undefined : wide(Math.ceil(number)));
const seconds = (ms) => (isNone(ms) ? undefined : wide(Math.max(1, Math.ceil(ms / 1000))));
const numbers = (values) => Array.from(values, Number);
const texts = (content) => content.filter(({ tag }) => tag === "text").map(({ val }) => val).join("\n");

/** A result: blocks of content, and a JSON value that fits the tool's output schema where it has one. */
export class Output {
    constructor(text, structured) {
        this.content = [];
        this.structured = structured;
        if (text !== undefined) {
            this.andText(text);
        }
    }

    andText(text) {
        this.content.push({ tag: "text", val: text });
        return this;
    }

    andImage(data, mimeType) {
        this.content.push({ tag: "image", val: { data, mimeType } });
        return this;
    }

    andAudio(data, mimeType) {
        this.content.push({ tag: "audio", val: { data, mimeType } });
        return this;
    }

    andLink(uri, name, { title, description, mimeType } = {}) {
        this.content.push({ tag: "link", val: { uri, name, title, description, mimeType } });
        return this;
    }

    /** A resource that stands in the result: a text, or bytes. */
    andEmbedded(uri, body, mimeType) {
        const held = { tag: typeof body === "string" ? "text" : "data", val: body };
        this.content.push({ tag: "embedded", val: { uri, mimeType, body: held } });
        return this;
    }

    /** All its text. */
    text() {
        return texts(this.content);
    }
}

function wire(value) {
    if (value instanceof Output) {
        return { content: value.content, structured: json(value.structured) };
    }
    const content = (text) => [{ tag: "text", val: text }];
    if (typeof value === "string") {
        return { content: content(value), structured: undefined };
    }
    if (value === undefined) {
        return { content: [], structured: undefined };
    }
    const text = JSON.stringify(value);
    return { content: content(text), structured: text };
}

function answer({ content, structured }) {
    const output = new Output(undefined, parsed(structured));
    output.content = content;
    return output;
}

const registered = new Map();
const INVALID_PARAMS = -32602;

/**
 * Makes a tool of a function, which is given the call's arguments as an object. `properties` maps each argument to its
 * JSON Schema; all are required unless `required` names those that are. `schema` is a whole schema in their place,
 * `output` that of the result. `reply` is link (the default), inline, for which `inlineWaitSeconds` may be given, or task.
 * `annotations` has readOnly, destructive, idempotent and openWorld.
 */
export function tool(name, definition, run) {
    const { description, title, properties = {}, required = Object.keys(properties), output } = definition;
    const schema = definition.schema ?? { type: "object", properties, required };
    registered.set(name, {
        run,
        definition: {
            name,
            title,
            description,
            inputSchema: JSON.stringify(schema),
            outputSchema: json(output),
            annotations: definition.annotations,
            reply: definition.reply,
            inlineWaitSeconds: definition.inlineWaitSeconds,
        },
    });
}

/** What the component exports: `export { tools } from "./longhaul.js";` in the module that is built. */
export const tools = {
    definitions: () => [...registered.values()].map(({ definition }) => definition),

    call(name, args) {
        try {
            if (!registered.has(name)) {
                throw new ProtocolError(INVALID_PARAMS, `this component has no tool \`${name}\``);
            }
            const value = registered.get(name).run(JSON.parse(args));
            return typeof value?.then === "function" ? awaited(name, value) : wire(value);
        } catch (error) {
            throw failure(error);
        }
    },
};

/** StarlingMonkey waits for what a tool awaits; QuickJS, as it is built, has nothing that could. */
function awaited(name, promise) {
    if (isQuickJs) {
        throw new Error(`the tool \`${name}\` is async, which wants StarlingMonkey: write "engine": "starlingmonkey" into package.json`);
    }
    return promise.then(wire).catch((error) => {
        throw failure(error);
    });
}

/** As the host has it; what is no failure of a tool stays as it is, and ends the attempt as a trap. */
function failure(error) {
    if (error instanceof ProtocolError) {
        const { code, message, data } = error;
        return { tag: "protocol", val: { code, message, data: json(data) } };
    }
    if (error instanceof ToolError || error instanceof HostError || error instanceof CallError) {
        return { tag: "tool", val: wire(new Output(error.message, error.structured)) };
    }
    return error;
}

/** Watchers see it once it is on disk. */
export const progress = {
    report: (done, total, message) => hostProgress.report(whole(done), whole(total), message),
    status: (message) => hostProgress.status(message),
};

/** Lines of the task's log. */
export const log = {
    write: (level, message) => hostLog.write(level, message),
    debug: (message) => hostLog.write("debug", message),
    info: (message) => hostLog.write("info", message),
    warning: (message) => hostLog.write("warning", message),
    error: (message) => hostLog.write("error", message),
};

/** Named partial results, readable while the task runs. They only grow. */
export const outputs = {
    /** A whole output in one commit. */
    write: (name, mimeType, data) => ask(() => hostOutputs.write(name, mimeType, encode(data))),
    open: (name, mimeType) => ask(() => hostOutputs.open(name, mimeType)),
    append: (name, data) => ask(() => hostOutputs.append(name, encode(data))),
    /** Says that it is whole. */
    close: (name) => ask(() => hostOutputs.close(name)),
};

/** A restart does not begin them again: the due time stays. */
export const timers = {
    sleep: (ms) => hostTimers.sleep(whole(ms)),
    /** A ticket that is ready after this time. */
    start: (ms) => Number(hostTimers.start(whole(ms))),
};

/** One wait for tickets of any kind. */
export const waits = {
    /** Those that are ready, in the order given; none when the time is over. */
    any: (tickets, timeout) => numbers(ask(() => hostWaits.wait(tickets.map(wide), whole(timeout)))),
    all(tickets) {
        let open = [...tickets];
        while (open.length > 0) {
            const ready = waits.any(open);
            open = open.filter((ticket) => !ready.includes(ticket));
        }
    },
    abandon: (ticket) => hostWaits.abandon(wide(ticket)),
};

/** A restart begins at the tool's first line with what was saved, in the place of a replay of all before. */
export const checkpoint = {
    /**
     * Saves a JSON value; no ticket may be open. The tool is begun again at once: this returns only where the state is
     * the one that was saved last.
     */
    save: (state) => ask(() => hostCheckpoint.save(encode(JSON.stringify(state)))),
    /** What was saved last, or undefined. */
    restore() {
        const state = hostCheckpoint.restore();
        return isNone(state) ? undefined : JSON.parse(fromUtf8(state));
    },
};

/** A tool that is cancelled has a few seconds to clean up. */
export const cancellation = {
    requested: () => hostCancellation.requested(),
    /** A ticket that is ready once cancellation was requested. */
    signal: () => Number(hostCancellation.signal()),
};

/** What others send to the running task: in order, each once. */
export const messages = {
    /** Ready when a message with one of these names (any, if empty) is there. */
    ticket: (names = []) => Number(ask(() => hostMessages.receive(names))),
    /** Its seq, name, payload and sender. */
    take(ticket) {
        const { seq, name, payload, sender } = ask(() => hostMessages.take(wide(ticket)));
        return { seq: Number(seq), name, payload: JSON.parse(payload), sender };
    },
    /** Waits for one; undefined when the time is over. */
    receive(names = [], timeout) {
        const ticket = messages.ticket(names);
        if (waits.any([ticket], timeout).length > 0) {
            return messages.take(ticket);
        }
        waits.abandon(ticket);
        return undefined;
    },
    /** To `parent` or the id of a child; the message's number there. */
    send: (to, name, payload) => Number(ask(() => hostMessages.send(to, name, JSON.stringify(payload)))),
};

/** Questions to a person, or with `by: "any"` to a model too; asked once and answered once. */
export const elicit = {
    /** A ticket. `key` names the question within its task. */
    ask(key, message, { properties = {}, schema, url, by = "person", timeout } = {}) {
        const form = schema ?? { type: "object", properties, required: Object.keys(properties) };
        const shown = url === undefined ? { tag: "schema", val: JSON.stringify(form) } : { tag: "url", val: url };
        const question = { key, message, form: shown, by, timeoutSeconds: seconds(timeout) };
        return Number(ask(() => hostElicitation.ask(question)));
    },
    /** `{ kind, content }`: accept, with what was accepted, decline, cancel or timeout. */
    take(ticket) {
        const { tag, val } = ask(() => hostElicitation.take(wide(ticket)));
        return { kind: tag, content: tag === "accept" ? JSON.parse(val) : undefined };
    },
    /** Asks and waits, for days if need be. */
    form: (key, message, options) => elicit.take(elicit.ask(key, message, options)),
    /** Whether a person said yes. */
    confirm(key, message, options) {
        const properties = { confirm: { type: "boolean" } };
        return elicit.form(key, message, { ...options, properties }).content?.confirm === true;
    },
};

function sampled({ model, content, stopReason, raw }, usage) {
    const of = (kind) => content.filter(({ tag }) => tag === kind).map(({ val }) => val);
    const toolUses = of("tool-use").map(({ id, name, input }) => ({ id, name, input: JSON.parse(input) }));
    return { model, stopReason, raw: JSON.parse(raw), text: texts(of("content")), toolUses, parts: content, usage };
}

const pairsOf = (prompt) => (typeof prompt === "string" ? [["user", prompt]] : prompt);

function requestOf(prompt, maxTokens, { system, temperature, stop = [], tools, toolChoice, preferences } = {}) {
    const content = (text) => [{ tag: "content", val: { tag: "text", val: text } }];
    return {
        messages: pairsOf(prompt).map((one) => (Array.isArray(one) ? { role: one[0], content: content(one[1]) } : one)),
        systemPrompt: system,
        maxTokens,
        temperature,
        stopSequences: stop,
        modelPreferences: json(preferences),
        tools: json(tools),
        toolChoice: json(toolChoice),
    };
}

/** What it comes to, or undefined where there is no model. */
function ifThere(work) {
    try {
        return work();
    } catch (error) {
        if (error instanceof HostError && error.kind === "unavailable") {
            return undefined;
        }
        throw error;
    }
}

/** Help from the client's model, or from the one that the operator has configured. */
export const sample = {
    /**
     * A ticket. `prompt` is a text, or a list of messages: `["user", text]`, `["assistant", text]`, and of `wentOn`.
     * Options: system, temperature, stop, and MCP's tools, toolChoice and preferences as they are.
     */
    ask: (prompt, maxTokens, options) => Number(ask(() => hostSampling.ask(requestOf(prompt, maxTokens, options)))),
    /** Its text, toolUses, model, stopReason, and raw, the whole message as MCP has it. */
    take: (ticket) => sampled(ask(() => hostSampling.take(wide(ticket)))),
    /** Asks and waits; a HostError of the kind unavailable says that there is no model. */
    wait: (prompt, maxTokens, options) => sample.take(sample.ask(prompt, maxTokens, options)),
    /** The same, for a tool that can do without: undefined where there is no model. */
    tryWait: (prompt, maxTokens, options) => ifThere(() => sample.wait(prompt, maxTokens, options)),
    /**
     * Two messages more: what the model said, and what its tool uses came to, by their ids: a text, or a ToolError where
     * one failed.
     */
    wentOn(said, results) {
        const parts = Object.entries(results).map(([toolUseId, came]) => {
            const isError = came instanceof ToolError;
            const content = [{ tag: "text", val: isError ? came.message : String(came) }];
            return { tag: "tool-result", val: { toolUseId, content, structured: undefined, isError } };
        });
        return [{ role: "assistant", content: said.parts }, { role: "user", content: parts }];
    },
};

/**
 * Models that the operator has configured and granted by name: asked by the server itself, without any client. What a prompt
 * is, and the options, are those of `sample`.
 */
export const models = {
    /** The names of those that are granted and configured. */
    granted: () => hostModels.granted(),
    /** A ticket. `output`, among the options, names a new output, which the text is written into as it comes. */
    ask(model, prompt, maxTokens, { output, ...options } = {}) {
        return Number(ask(() => hostModels.ask(model, requestOf(prompt, maxTokens, options), output)));
    },
    /** What it said, and as `usage` what that cost: inputTokens and outputTokens. */
    take(ticket) {
        const { response, usage } = ask(() => hostModels.take(wide(ticket)));
        return sampled(response, { inputTokens: Number(usage.inputTokens), outputTokens: Number(usage.outputTokens) });
    },
    /** Asks and waits. */
    wait: (model, prompt, maxTokens, options) => models.take(models.ask(model, prompt, maxTokens, options)),
    /** The first of the granted ones that can answer, else the client's model; undefined where there is neither. */
    tryAny(prompt, maxTokens, options) {
        for (const model of models.granted()) {
            const said = ifThere(() => models.wait(model, prompt, maxTokens, options));
            if (said !== undefined) {
                return said;
            }
        }
        return sample.tryWait(prompt, maxTokens, options);
    },
    /**
     * An agent's loop: asks, has `act` do each tool use (its id, name and input) and says what it returned, or that it
     * failed where it threw a ToolError, until the model has its answer. Each turn is a step of its own, so that a restart
     * goes on where the loop was. After `turns` it ends with what was said last.
     */
    converse(model, prompt, maxTokens, turns, act, options) {
        let said = models.wait(model, prompt, maxTokens, options);
        let conversation = pairsOf(prompt);
        for (let turn = 1; turn < turns && said.toolUses.length > 0; turn += 1) {
            const results = Object.fromEntries(said.toolUses.map((use) => [use.id, acted(act, use)]));
            conversation = [...conversation, ...sample.wentOn(said, results)];
            said = models.wait(model, conversation, maxTokens, options);
        }
        return said;
    },
};

function acted(act, use) {
    try {
        return act(use);
    } catch (error) {
        if (error instanceof ToolError) {
            return error;
        }
        throw error;
    }
}

/** The client's root folders, as names. */
export const roots = {
    /** A ticket. */
    ask: () => Number(ask(() => hostRoots.ask())),
    /** Each with its uri and, where it has one, its name. */
    take: (ticket) => ask(() => hostRoots.take(wide(ticket))),
    /** Asks and waits. */
    get: () => roots.take(roots.ask()),
};

const entry = ({ key, value, version }) => ({ key, value: JSON.parse(value), version: Number(version) });

/** Entries that agents share. A write is one step, done once. Version 0 is an entry that does not exist. */
export const state = {
    /** Its key, value and version, or undefined. */
    get(namespace, key) {
        const found = ask(() => hostState.get(namespace, key));
        return isNone(found) ? undefined : entry(found);
    },
    /** The new version. An `ifVersion` that is not the entry's is a HostError of the kind conflict. */
    put: (namespace, key, value, options) => state.putAll(namespace, [{ key, value, ...options }])[0],
    /** All or none, of { key, value, ifVersion, ttl }; the new versions. */
    putAll(namespace, entries) {
        const requests = entries.map(({ key, value, ifVersion, ttl }) => ({
            key,
            value: JSON.stringify(value),
            ifVersion: whole(ifVersion),
            ttlSeconds: seconds(ttl),
        }));
        return numbers(ask(() => hostState.put(namespace, requests)));
    },
    /** Reads, changes (undefined where there is no entry) and writes, again where another was faster. */
    update(namespace, key, change) {
        for (;;) {
            const found = state.get(namespace, key);
            const value = change(found?.value);
            try {
                return { key, value, version: state.put(namespace, key, value, { ifVersion: found?.version ?? 0 }) };
            } catch (error) {
                if (error.kind !== "conflict") {
                    throw error;
                }
            }
        }
    },
    /** The version of the deletion; 0 where there was nothing to delete. */
    delete: (namespace, key, ifVersion) =>
        Number(ask(() => hostState["delete"](namespace, key, whole(ifVersion)))),
    /** All entries whose keys begin so. */
    list(namespace, prefix = "") {
        const entries = [];
        let cursor;
        do {
            const page = ask(() => hostState.list(namespace, prefix, 0, cursor));
            entries.push(...page.entries.map(entry));
            cursor = page.nextCursor ?? undefined;
        } while (cursor !== undefined);
        return entries;
    },
    /** A ticket that is ready when the entry has another version. */
    watch: (namespace, key, version) => Number(ask(() => hostState.watch(namespace, key, whole(version)))),
    /** Waits until the entry has another version; whether it has. */
    changed(namespace, key, version, timeout) {
        const ticket = state.watch(namespace, key, version);
        if (waits.any([ticket], timeout).length > 0) {
            return true;
        }
        waits.abandon(ticket);
        return false;
    },
};

function callError({ tag, val }) {
    if (tag === "refused") {
        return hostError(val);
    }
    if (tag !== "failure") {
        return new CallError(tag, val);
    }
    if (val.tag === "protocol") {
        return new CallError("protocol", val.val.message, { code: val.val.code });
    }
    const output = answer(val.val);
    return new CallError("tool", output.text(), { answer: output });
}

function endOf(child) {
    try {
        return child.join();
    } catch (error) {
        if (error instanceof CallError || error instanceof HostError) {
            return error;
        }
        throw error;
    }
}

/** A call under way. */
export class Child {
    constructor({ ticket, taskId }) {
        Object.assign(this, { ticket: Number(ticket), taskId });
    }

    /** Waits for its `Output`; throws a CallError where it brought none. */
    join() {
        return answer(ask(() => hostCalls.take(wide(this.ticket)), callError));
    }

    cancel() {
        waits.abandon(this.ticket);
    }
}

/** Calls to other tools, each a task of its own, begun once whatever crashes. */
export const calls = {
    /** Calls one and waits for its `Output`. Options: alternatives, retries, timeout, detached. */
    call: (tool, args, options) => calls.spawn(tool, args, options).join(),
    spawn: (tool, args, options) => calls.spawnAll([{ tool, args, ...options }])[0],
    /** Starts several in one commit, all or none, of { tool, args, … }. */
    spawnAll(requests) {
        const wanted = requests.map(({ tool, args, alternatives = [], retries = 0, timeout, detached = false }) => ({
            tool,
            arguments: JSON.stringify(args),
            alternatives,
            retries,
            timeoutSeconds: seconds(timeout),
            detached,
        }));
        return ask(() => hostCalls.start(wanted)).map((child) => new Child(child));
    },
    /** What each came to, in their order: an `Output`, or the error in its place. */
    joinAll: (children) => children.map(endOf),
    /** Waits for the first and takes it out of the array: `[child, end]`; undefined when the time is over. */
    joinAny(children, timeout) {
        const [ready] = children.length > 0 ? waits.any(children.map(({ ticket }) => ticket), timeout) : [];
        if (ready === undefined) {
            return undefined;
        }
        const [child] = children.splice(children.findIndex(({ ticket }) => ticket === ready), 1);
        return [child, endOf(child)];
    },
    /** The tools that it may call, each with its name, description and schema. */
    granted: () =>
        ask(() => hostCalls.granted()).map(({ name, description, inputSchema }) => {
            return { name, description, schema: JSON.parse(inputSchema) };
        }),
};
