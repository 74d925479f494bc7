// What `longhaul tool build` has node do in the folder of a project in JavaScript. Arguments: the engine, the tool's file, the
// component's, and whether the tool calls `fetch`.
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

const [engine, source, out, fetch] = process.argv.slice(2);
const [jsPath, witPath] = [resolve(source), resolve("wit")];

const engines = {
    async starlingmonkey() {
        const { componentize } = await import("@bytecodealliance/componentize-js");
        const disableFeatures = fetch === "true" ? [] : ["http", "fetch-event"];
        return componentize({ sourcePath: jsPath, witPath, disableFeatures });
    },
    async quickjs() {
        const { componentize } = await import("componentize-qjs");
        const jsSource = await readFile(jsPath, "utf8");
        // Without `sync` there is a runtime for asynchronous functions in the component, which Longhaul puts aside.
        return componentize({ jsSource, jsPath, moduleRoot: resolve("."), witPath, sync: true });
    },
};

const { component } = await engines[engine]();
await writeFile(out, component);
