// node build-starlingmonkey.js FILE: makes the component FILE of exercise.js.
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const { component } = await componentize({
    sourcePath: "exercise.js",
    witPath: "wit",
    worldName: "guest",
    // With `fetch`.
    disableFeatures: [],
});
await writeFile(process.argv[2], component);
