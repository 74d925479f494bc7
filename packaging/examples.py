"""Copies what `cargo build --message-format json` made in the workspace of the guests, each component with the manifest
of its package's folder, into the folder that is named."""

import json
import pathlib
import shutil
import sys


def main():
    folder = pathlib.Path(sys.argv[1])
    for line in sys.stdin:
        made = json.loads(line)
        if made["reason"] != "compiler-artifact":
            continue
        for file in map(pathlib.Path, made["filenames"]):
            if file.suffix != ".wasm":
                continue
            name = made["target"]["name"]
            package = pathlib.Path(made["manifest_path"]).parent
            shutil.copyfile(file, folder / f"{name}.wasm")
            if (package / f"{name}.toml").exists():
                shutil.copyfile(package / f"{name}.toml", folder / f"{name}.toml")


if __name__ == "__main__":
    main()
