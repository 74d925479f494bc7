"""Processor time of processes, from /proc."""

import os


def spent(roots):
    """Seconds of these processes and of all below them."""
    processes = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            processes[int(name)] = of_one(name)
        except OSError:
            pass  # it has ended meanwhile
    total, left = 0, list(roots)
    while left:
        pid = left.pop()
        total += processes[pid][0]
        left += [child for child, (_, parent) in processes.items() if parent == pid]
    return total


def of_one(pid):
    """With its threads and the children that it waited for, and its parent."""
    with open(f"/proc/{pid}/stat") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return sum(int(word) for word in words[11:15]) / os.sysconf("SC_CLK_TCK"), int(words[1])
