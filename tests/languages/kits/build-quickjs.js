// node build-quickjs.js FILE: makes the component FILE of exercise.js.
import { componentize } from "componentize-qjs";
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

const { component } = await componentize({
    jsSource: await readFile("exercise.js", "utf8"),
    jsPath: resolve("exercise.js"),
    moduleRoot: resolve("."),
    witPath: resolve("wit"),
    world: "guest",
    // Without it there is a runtime for asynchronous functions in the component, which Longhaul puts aside.
    sync: true,
});
await writeFile(process.argv[2], component);
