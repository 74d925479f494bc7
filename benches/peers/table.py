"""Makes a table of what rounds.py wrote.

    table.py FILE [--markdown]
"""

import json
import sys
from collections import defaultdict
from statistics import median

WORKS = {
    "inline": "A trivial call, its result in the same response",
    "link": "The same, submitted: acknowledged after, and the rate of tasks that have ended (drained)",
    "ten": "Ten durable steps, the result in the same response",
}


def amount(number):
    """Three digits or more, as people read them."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def rows(document, work):
    by_peer = defaultdict(lambda: defaultdict(list))
    for entry in document["measured"]:
        if entry["work"] == work:
            by_peer[entry["peer"]][entry["clients"]].append(entry)
    for peer in document["order"]:
        if peer not in by_peer:
            continue
        cells = [peer, document["promises"][peer]]
        for clients in sorted(by_peer[peer]):
            entries = by_peer[peer][clients]
            good = [entry for entry in entries if "error" not in entry]
            if not good:
                cells += [f"failed: {entries[0]['error'][:60]}", "", ""]
                continue
            rates = [entry["operations"] / entry["seconds"] for entry in good]
            of = lambda key: median(entry[key] for entry in good)
            spread = f"{amount(median(rates))} ({amount(min(rates))}–{amount(max(rates))})"
            if len(good) < len(entries):
                spread += f", {len(entries) - len(good)} of {len(entries)} failed"
            cells += [spread, f"{amount(of('p50_ms'))} / {amount(of('p99_ms'))}", amount(of("server_cpu_us"))]
        yield cells


HEAD = [
    "Server",
    "On disk when answered",
    "1 client: per s (min–max)",
    "p50 / p99 ms",
    "processor us",
    "32 clients: per s (min–max)",
    "p50 / p99 ms",
    "processor us",
]


def shown(table, markdown):
    if markdown:
        lines = ["| " + " | ".join(line) + " |" for line in table]
        return [lines[0], "|---|---|" + "---:|" * (len(HEAD) - 2), *lines[1:]]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]


def about(document):
    known, syncs = document["facts"], document["syncs_ms"]
    yield (
        f"{known['date']}, {known['rounds']} interleaved rounds of {known['seconds']:g} s: medians, with the least and"
        f" most of the rates. {known['cores']} cores ({known['processor']}), {known['memory_gib']} GiB,"
        f" Linux {known['kernel']}, {known['file_system']}; fdatasync of 4 KiB in the same run p50"
        f" {median(syncs):.3f} ms ({min(syncs):.3f}–{max(syncs):.3f}). Load before {known['load']:.2f}; all servers run all"
        f" the time, and took {known['idle_percent']:.0f} % of a core together while nothing was asked of them."
    )
    yield f"Longhaul {known['longhaul']}, Python {known['python']}, Node {known['node']}."
    for peer, why in document["missing"].items():
        yield f"{peer}: not measured. {why}"


def main():
    markdown = "--markdown" in sys.argv
    document = json.load(open(next(word for word in sys.argv[1:] if not word.startswith("--"))))
    for work, title in WORKS.items():
        table = [HEAD, *rows(document, work)]
        print(f"**{title}**\n" if markdown else title)
        print("\n".join(shown(table, markdown)) + "\n")
    print("\n\n".join(about(document)) if markdown else "\n".join(about(document)))


main()
