// node build.js [FOLDER]: makes FOLDER/outline.wasm, with its manifest beside it.
import { componentize } from "@bytecodealliance/componentize-js";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const out = process.argv[2] ?? "target";
await mkdir(out, { recursive: true });
const { component } = await componentize({
    sourcePath: join(import.meta.dirname, "outline.js"),
    witPath: join(import.meta.dirname, "wit"),
    worldName: "outline",
    // What it does not use it need not ask for.
    disableFeatures: ["http", "fetch-event"],
});
await writeFile(join(out, "outline.wasm"), component);
await copyFile(join(import.meta.dirname, "outline.toml"), join(out, "outline.toml"));
