"""Packs a built `longhaul` in each form that it is given away in. Called by `packaging/build`; what is in the packages
depends on the files that are named, and on nothing of this machine: no time, no owner, no order of a folder.

    python3 packaging/pack.py --meta META.json --binary FILE --examples DIR --sbom FILE --notices FILE --out DIR
    python3 packaging/pack.py --checksums DIR

META.json is what `cargo metadata --no-deps` says: name, version, description and license have their one place there.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import pathlib
import struct
import sys
import tarfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# 1980 is the oldest that a zip file can say.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
TAR_TIME = 315532800
# Names of one machine: as Rust has it, as npm has it, and its number in an ELF file.
NPM_CPU = {"x86_64": "x64", "aarch64": "arm64"}
ELF_MACHINE = {62: "x86_64", 183: "aarch64"}
PT_INTERP = 3


class Binary:
    """A program for Linux: for which machine, and whether it needs a C library of the system."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        head = self.bytes[:64]
        if head[:6] != b"\x7fELF\x02\x01":
            sys.exit(f"{path} is no 64-bit program for Linux")
        self.machine = ELF_MACHINE.get(struct.unpack_from("<H", head, 18)[0])
        if self.machine is None:
            sys.exit(f"{path} is for a machine that there are no packages for")
        offset, size, count = (
            struct.unpack_from("<Q", head, 32)[0],
            struct.unpack_from("<H", head, 54)[0],
            struct.unpack_from("<H", head, 56)[0],
        )
        kinds = {struct.unpack_from("<I", self.bytes, offset + size * at)[0] for at in range(count)}
        self.is_static = PT_INTERP not in kinds
        # One that is not static runs where the C library is as new as this machine's, and says so in its names.
        self.label = f"{self.machine}-linux" + ("" if self.is_static else "-gnu")

    def wheel_tags(self):
        if not self.is_static:
            return [f"linux_{self.machine}"]
        # Without a C library it runs with each of them, however old.
        return [f"manylinux_2_17_{self.machine}", f"manylinux2014_{self.machine}", f"musllinux_1_1_{self.machine}"]


class Project:
    def __init__(self, meta, repository):
        self.repository = repository
        package = next(one for one in json.loads(meta.read_text())["packages"] if one["name"] == "longhaul")
        self.name, self.version = package["name"], package["version"]
        self.description, self.license = package["description"], package["license"]
        self.keywords = package["keywords"]

    def source(self):
        """As npm and bundles want it; npm's provenance is held against it."""
        return {"repository": {"type": "git", "url": f"git+{self.repository}.git"}} if self.repository else {}


def tar(files, folder, level):
    """The bytes of a .tar.gz with these files, (path, bytes, is a program), below one folder."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=level, mtime=0, filename="") as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path, data, is_program in sorted(files):
                entry = tarfile.TarInfo(f"{folder}/{path}")
                entry.size, entry.mtime = len(data), TAR_TIME
                entry.mode = 0o755 if is_program else 0o644
                archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(files, level):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for path, data, is_program in files:
            entry = zipfile.ZipInfo(path, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (0o100755 if is_program else 0o100644) << 16
            archive.writestr(entry, data)
    return out.getvalue()


def pretty(document):
    return (json.dumps(document, indent=2) + "\n").encode()


def plain(path):
    return path.read_bytes(), False


def npm_files(project, binary, shared):
    """The package of this machine: what npm installs of the two is chosen by `os` and `cpu`."""
    document = {
        "name": f"{project.name}-linux-{NPM_CPU[binary.machine]}",
        "version": project.version,
        "description": f"{project.name} for Linux on {binary.machine}: the program and its example tools",
        "license": project.license,
        **project.source(),
        "os": ["linux"],
        "cpu": [NPM_CPU[binary.machine]],
        "preferUnplugged": True,
    }
    if not binary.is_static:
        document["libc"] = ["glibc"]
    return document["name"], [("package.json", pretty(document), False), *shared]


def npm_main_files(project):
    packages = {f"{project.name}-linux-{cpu}": project.version for cpu in NPM_CPU.values()}
    document = {
        "name": project.name,
        "version": project.version,
        "description": project.description,
        "license": project.license,
        "keywords": project.keywords,
        **project.source(),
        "bin": {project.name: "longhaul.js"},
        "engines": {"node": ">=18"},
        "optionalDependencies": packages,
    }
    return [
        ("package.json", pretty(document), False),
        ("longhaul.js", (HERE / "npm/longhaul.js").read_bytes(), True),
        ("README.md", *plain(ROOT / "README.md")),
        ("LICENSE", *plain(ROOT / "LICENSE")),
    ]


def wheel(project, binary, examples, documents, level):
    """Its `scripts` and `data` are put into `bin` and below the prefix: no Python stands before the program."""
    info, data = f"{project.name}-{project.version}.dist-info", f"{project.name}-{project.version}.data"
    tags = binary.wheel_tags()
    metadata = [
        "Metadata-Version: 2.4",
        f"Name: {project.name}",
        f"Version: {project.version}",
        f"Summary: {project.description}",
        f"License-Expression: {project.license}",
        "License-File: LICENSE",
        "License-File: THIRD-PARTY.txt",
        f"Keywords: {','.join(project.keywords)}",
        "Requires-Python: >=3.8",
        *([f"Project-URL: Source, {project.repository}"] if project.repository else []),
        "Description-Content-Type: text/markdown",
        "",
        (ROOT / "README.md").read_text(),
    ]
    kind = ["Wheel-Version: 1.0", "Generator: longhaul-packaging", "Root-Is-Purelib: false"]
    kind += [f"Tag: py3-none-{tag}" for tag in tags]
    files = [(f"{data}/data/{path}", content, False) for path, content, _ in examples]
    files += [
        (f"{data}/scripts/{project.name}", binary.bytes, True),
        (f"{info}/METADATA", "\n".join(metadata).encode(), False),
        (f"{info}/WHEEL", ("\n".join(kind) + "\n").encode(), False),
        (f"{info}/licenses/LICENSE", *plain(ROOT / "LICENSE")),
        (f"{info}/licenses/THIRD-PARTY.txt", documents["THIRD-PARTY.txt"], False),
        # As PEP 770 has it.
        (f"{info}/sboms/longhaul.cdx.json", documents["longhaul.cdx.json"], False),
    ]
    digest = lambda content: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    record = "".join(f"{path},sha256={digest(content)},{len(content)}\n" for path, content, _ in files)
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), False))
    return f"{project.name}-{project.version}-py3-none-{'.'.join(tags)}.whl", zipped(files, level)


def bundle_manifest(project):
    return {
        "manifest_version": "0.3",
        "name": project.name,
        "display_name": "Longhaul",
        "version": project.version,
        "description": project.description,
        "long_description": (HERE / "bundle.md").read_text(),
        "author": {"name": "The Longhaul authors"},
        **project.source(),
        "license": project.license,
        "keywords": project.keywords,
        "server": {
            "type": "binary",
            "entry_point": "bin/longhaul",
            "mcp_config": {
                "command": "${__dirname}/bin/longhaul",
                "args": ["serve", "--stdio", "--tools", "${__dirname}/share/longhaul-examples"],
                "env": {},
            },
        },
        "tools_generated": True,
        "compatibility": {"platforms": ["linux"]},
    }


def pack(given):
    project, binary = Project(given.meta, given.repository), Binary(given.binary)
    out, level = given.out, given.level
    out.mkdir(parents=True, exist_ok=True)
    examples = [
        (f"share/longhaul-examples/{path.name}", *plain(path))
        for path in sorted(given.examples.iterdir())
        if path.suffix in (".wasm", ".toml")
    ]
    if not any(path.endswith("/long_running_agent.wasm") for path, _, _ in examples):
        sys.exit(f"{given.examples} has no long_running_agent.wasm, which `longhaul demo` shows")
    documents = {"THIRD-PARTY.txt": given.notices.read_bytes(), "longhaul.cdx.json": given.sbom.read_bytes()}
    shared = [
        ("bin/longhaul", binary.bytes, True),
        *examples,
        ("LICENSE", *plain(ROOT / "LICENSE")),
        *((name, content, False) for name, content in documents.items()),
    ]
    base = f"{project.name}-{project.version}-{binary.label}"
    manuals = [(name, *plain(ROOT / name)) for name in ("README.md", "CHANGELOG.md")]
    platform, files = npm_files(project, binary, shared)
    wheel_name, wheel_bytes = wheel(project, binary, examples, documents, level)
    packages = {
        f"{base}.tar.gz": tar([*shared, *manuals], base, level),
        f"{base}.mcpb": zipped([("manifest.json", pretty(bundle_manifest(project)), False), *shared], level),
        f"{base}.cdx.json": documents["longhaul.cdx.json"],
        f"{platform}-{project.version}.tgz": tar(files, "package", level),
        f"{project.name}-{project.version}.tgz": tar(npm_main_files(project), "package", level),
        wheel_name: wheel_bytes,
    }
    for name, content in packages.items():
        (out / name).write_bytes(content)
        print(f"{len(content) / 1e6:7.1f} MB  {name}")


def checksums(out):
    """Of all that is there, in the form that `sha256sum --check` reads."""
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("meta", "binary", "examples", "sbom", "notices", "out", "checksums"):
        parser.add_argument(f"--{name}", type=pathlib.Path)
    parser.add_argument("--repository", help="the address of the sources, where they are published")
    parser.add_argument("--level", type=int, default=9, help="how hard to compress, 1 to 9")
    given = parser.parse_args()
    if given.checksums:
        checksums(given.checksums)
        return
    missing = [name for name in ("meta", "binary", "examples", "sbom", "notices", "out") if getattr(given, name) is None]
    if missing:
        parser.error("missing: " + ", ".join(f"--{name}" for name in missing))
    pack(given)


if __name__ == "__main__":
    main()
