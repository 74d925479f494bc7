"""Measures two builds of Longhaul in turn and prints the new one's figures over the old one's.

    pairs.py SCRATCH LOAD OLD NEW [WORK…]
"""

import os
import sys
from math import comb
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
import peers

CLIENTS = (1, 32)
WORKS = ("link", "inline", "ten")
WARM_UP_SECONDS = 0.3
FIGURES = {
    "tasks/s": lambda entry: entry["operations"] / entry["seconds"],
    "p50 ms": lambda entry: entry["p50_ms"],
    "server us": lambda entry: entry["server_cpu_us"],
}


def interval(values):
    """The values between which the median of what they are drawn from lies with 95 % or more, and None for too few.

    The number of values below that median is binomial with one half, whatever their distribution is.
    """
    count = len(values)
    outside, rank = 0.0, 0
    while outside + 2 * comb(count, rank) / 2**count <= 0.05:
        outside += 2 * comb(count, rank) / 2**count
        rank += 1
    return (sorted(values)[rank - 1], sorted(values)[count - rank]) if rank else None


def measured(servers, work, clients, rounds, seconds):
    """A pair for each round; which build is first alternates."""
    pairs = []
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        entries = {place: servers[place].measure(work, clients, seconds, WARM_UP_SECONDS) for place in order}
        pairs.append((entries[0], entries[1]))
    return pairs


def print_rows(work, clients, pairs):
    for name, figure in FIGURES.items():
        old, new = ([figure(pair[place]) for pair in pairs] for place in (0, 1))
        ratios = [ours / theirs for theirs, ours in zip(old, new)]
        between = interval(ratios)
        spread = f"[{between[0]:.2f}, {between[1]:.2f}]" if between else "[fewer than six pairs]"
        operations = min(sum(pair[place]["operations"] for pair in pairs) for place in (0, 1))
        print(
            f"{work:6} {clients:3} {name:9} {median(old):9.2f} {median(new):9.2f}"
            f"   x{median(ratios):.2f} {spread}   of {operations} or more",
            flush=True,
        )


def main():
    scratch, load, old, new, *works = sys.argv[1:]
    rounds, seconds = int(os.environ.get("ROUNDS", "10")), float(os.environ.get("SECS", "1.5"))
    if unknown := set(works) - set(WORKS):
        sys.exit(f"pairs.py: there is no work {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    servers = []
    try:
        for name, program in (("old", old), ("new", new)):
            folder = Path(scratch) / name
            folder.mkdir()
            servers.append(peers.Longhaul(None, folder, load, program=program))
            servers[-1].start()
        print(f"{'work':6} {'cl.':>3} {'':9} {'old':>9} {'new':>9}   new/old, interval, operations")
        for work in works or WORKS:
            for clients in CLIENTS:
                print_rows(work, clients, measured(servers, work, clients, rounds, seconds))
    except peers.Missing as why:
        sys.exit(f"pairs.py: {servers[-1].program}: {why}")
    finally:
        for server in servers:
            server.stop()


main()
