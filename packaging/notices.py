"""Prints the licences of all that is linked into a program, by what `cargo metadata` says of it:

    cargo metadata --locked --format-version 1 --filter-platform TARGET | python3 packaging/notices.py [FILE]...

Each FILE is a licence of something that cargo does not know of, such as the C library.
"""

import hashlib
import json
import pathlib
import re
import sys

LICENCE = re.compile(r"^(licen[sc]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def linked(metadata):
    """Packages that the workspace's program is linked from: over normal dependencies, without macros."""
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    is_macro = lambda one: any("proc-macro" in target["kind"] for target in packages[one]["targets"])
    seen, to_go = set(), [metadata["resolve"]["root"]]
    while to_go:
        here = to_go.pop()
        if here in seen or is_macro(here):
            continue
        seen.add(here)
        for edge in nodes[here]["deps"]:
            if any(kind["kind"] is None for kind in edge["dep_kinds"]):
                to_go.append(edge["pkg"])
    seen.discard(metadata["resolve"]["root"])
    return sorted((packages[one] for one in seen), key=lambda one: (one["name"], one["version"]))


def texts(folder):
    """The licences in a package, also those of C sources that it brings."""
    for path in sorted(folder.rglob("*")):
        if LICENCE.match(path.name) and path.is_file() and path.stat().st_size < 1 << 20:
            yield path.read_text(errors="replace").replace("\r\n", "\n").strip()


def main():
    packages = linked(json.load(sys.stdin))
    print("Longhaul is linked from these packages. Their licences follow, each once.\n")
    holders = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"    {name}: {package['license'] or 'see its licence file'}")
        for text in texts(pathlib.Path(package["manifest_path"]).parent):
            holders.setdefault(hashlib.sha256(text.encode()).digest(), (text, []))[1].append(name)
    for path in map(pathlib.Path, sys.argv[1:]):
        text = path.read_text(errors="replace").strip()
        holders.setdefault(hashlib.sha256(text.encode()).digest(), (text, []))[1].append(path.parent.name)
    for text, names in holders.values():
        print(f"\n{'=' * 100}\n{', '.join(dict.fromkeys(names))}\n{'=' * 100}\n\n{text}")


if __name__ == "__main__":
    main()
