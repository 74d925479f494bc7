#!/usr/bin/env bash
# componentize-qjs 0.4.5 and @bytecodealliance/componentize-js 0.23.0 (npm), run by wasmtime 50.0.1 (PyPI).
#
# Both make a component of the same JavaScript, which exports `draw`, and both keep a snapshot of the engine that was begun at
# the build. In each new instance of the one that componentize-qjs makes, `Math.random()` gives the same numbers: what seeds
# it is in the snapshot. The one of componentize-js seeds it when the instance begins, and gives others each time. The
# README of componentize-qjs has no word on it.
#
# Seen, of three processes each: quickjs: 1 of 3 differ; starlingmonkey: 3 of 3 differ
#
# Needs node, npm, python3 with venv, and a network to their registries. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "type": "module", "private": true }' > package.json
npm install --silent --no-fund --no-audit \
    componentize-qjs@0.4.5 @bytecodealliance/componentize-js@0.23.0 > npm.log 2>&1 || { cat npm.log; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check wasmtime==50.0.1
mkdir wit
cat > wit/world.wit <<'WIT'
package probe:random;

world numbers {
    export draw: func() -> string;
}
WIT
cat > tool.js <<'JS'
export function draw() {
    return `${Math.random()} ${Math.random()}`;
}
JS
cat > build.mjs <<'JS'
import { readFile, writeFile } from "node:fs/promises";
import { componentize as quickjs } from "componentize-qjs";
import { componentize as starlingmonkey } from "@bytecodealliance/componentize-js";

const jsSource = await readFile("tool.js", "utf8");
const small = await quickjs({ witPath: "wit", jsSource, sync: true });
await writeFile("quickjs.wasm", small.component);
const large = await starlingmonkey({ sourcePath: "tool.js", witPath: "wit", worldName: "numbers" });
await writeFile("starlingmonkey.wasm", large.component);
JS
node build.mjs > build.log 2>&1 || { cat build.log; exit 1; }
cat > draw.py <<'PY'
import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

engine = Engine()
store = Store(engine)
store.set_wasi(WasiConfig())
linker = Linker(engine)
linker.add_wasip2()
linker.add_wasi_http()
store.set_wasi_http()
instance = linker.instantiate(store, Component.from_file(engine, sys.argv[1]))
print(instance.get_func(store, "draw")(store))
PY
seen=""
for engine in quickjs starlingmonkey; do
    for _ in 1 2 3; do venv/bin/python draw.py "$engine.wasm"; done > "$engine.txt"
    seen+="$engine: $(sort -u "$engine.txt" | wc -l) of 3 differ; "
done
seen=${seen%; }
echo "$seen"
[ "$seen" = "quickjs: 1 of 3 differ; starlingmonkey: 3 of 3 differ" ]
