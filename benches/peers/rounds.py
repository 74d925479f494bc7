"""Measures all peers in turn, round after round, and writes what it found as one document of JSON.

    rounds.py CACHE SCRATCH LOAD OUT
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import peers

sys.path.insert(0, str(peers.HERE / "servers"))
from processes import spent

CLIENTS = (1, 32)
WORKS = ("inline", "link", "ten")
WARM_UP_SECONDS = 0.5


def say(words):
    print(words, file=sys.stderr, flush=True)


def started(cache, scratch, load):
    """The peers that run, and why the others do not."""
    running, missing = [], {}
    for kind in peers.ALL:
        peer = kind(cache, scratch, load)
        try:
            peer.start()
            running.append(peer)
        except peers.Missing as why:
            missing[peer.name] = str(why)
            peer.stop()
            say(f"{peer.name}: {why}")
    return running, missing


def rounds(running, count, seconds, scratch, load):
    measured, syncs = [], []
    for number in range(count):
        for work in WORKS:
            for clients in CLIENTS:
                sync = subprocess.run([load, "sync", scratch], capture_output=True, text=True, check=True)
                syncs.append(float(sync.stdout))
                for peer in running:
                    if work in peer.works:
                        measured.append(one(peer, number, work, clients, seconds))
    return measured, syncs


def one(peer, number, work, clients, seconds):
    entry = {"peer": peer.name, "work": work, "clients": clients, "round": number}
    try:
        entry |= peer.measure(work, clients, seconds, WARM_UP_SECONDS)
        rate = entry["operations"] / entry["seconds"]
        say(f"{number} {work} {clients:2} {peer.name}: {rate:.1f}/s, p50 {entry['p50_ms']:.2f} ms")
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        entry["error"] = str(error)
        say(f"{number} {work} {clients:2} {peer.name}: {error}")
    return entry


def facts(scratch):
    cpu = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    mounts = [line.split()[:3] for line in open("/proc/mounts")]
    holding = [mount for mount in mounts if scratch.is_relative_to(mount[1])]
    device, _, kind = max(holding, key=lambda mount: len(mount[1]))
    memory = next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip() or "none"
    return {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": cpu[0].split(": ")[1].strip() if cpu else "unknown",
        "memory_gib": int(memory) >> 20,
        "kernel": platform.release(),
        "file_system": f"{kind} on {device}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "node": node,
        "longhaul": os.environ.get("LONGHAUL_BUILD", ""),
    }


def idle_share(running):
    """How much of a core all servers together take while nothing is asked of them, in percent."""
    pids = [process.pid for peer in running for process in peer.processes]
    before, began = spent(pids), time.monotonic()
    time.sleep(2)
    return 100 * (spent(pids) - before) / (time.monotonic() - began)


def main():
    cache, scratch, load, out = map(Path, sys.argv[1:])
    seconds, count = float(os.environ.get("SECS", "3")), int(os.environ.get("ROUNDS", "3"))
    known = facts(scratch)
    began = time.monotonic()
    running, missing = started(cache, scratch, load)
    try:
        known["idle_percent"] = idle_share(running)
        measured, syncs = rounds(running, count, seconds, scratch, load)
    finally:
        for peer in running:
            peer.stop()
    document = {
        "facts": known | {"seconds": seconds, "rounds": count, "took_seconds": time.monotonic() - began},
        "order": [peer.name for peer in running],
        "promises": {peer.name: peer.promise for peer in running},
        "missing": missing,
        "syncs_ms": syncs,
        "measured": measured,
    }
    out.write_text(json.dumps(document, indent=1))
    return int(any("error" in entry for entry in measured))


sys.exit(main())
