"""DBOS: workflows of no step and of ten, called in the process that runs them, as its users do.

    dbos_work.py DATABASE_URL

Reads what to measure from stdin, {"work", "clients", "seconds", "warm_up_seconds", "pids"}, one line of JSON each, and
answers each with the line that benches/peers/load would write. `pids` are the processes of its database.
"""

import json
import os
import sys
import threading
import time

from dbos import DBOS

from processes import spent

DBOS(
    config={
        "name": "bench",
        "system_database_url": sys.argv[1],
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
def step(number: int) -> int:
    return number


@DBOS.workflow()
def nothing(number: int) -> int:
    return number


@DBOS.workflow()
def ten(number: int) -> int:
    return sum(step(number) for number in range(10))


def crowd(work, clients, seconds):
    """Each client calls without a pause; returns what each call took and, of calls that do not wait, their handles."""
    end = time.perf_counter() + seconds
    taken, handles, errors = [], [], []

    def client():
        try:
            while (began := time.perf_counter()) < end:
                if work == "link":
                    handles.append(DBOS.start_workflow(nothing, 1))
                else:
                    {"inline": nothing, "ten": ten}[work](1)
                taken.append(time.perf_counter() - began)
        except Exception as error:  # of a thread, which would be lost
            errors.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return taken, handles


def measure(work, clients, seconds, warm_up_seconds, pids):
    pids = [os.getpid(), *pids]
    _, handles = crowd(work, clients, warm_up_seconds)
    for handle in handles:
        handle.get_result()
    before, start = spent(pids), time.perf_counter()
    taken, handles = crowd(work, clients, seconds)
    answered = time.perf_counter()
    for handle in handles:
        handle.get_result()
    ended = time.perf_counter()
    taken.sort()
    at = lambda share: taken[int((len(taken) - 1) * share)] * 1e3
    return {
        "operations": len(taken),
        "seconds": ended - start,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "server_cpu_us": (spent(pids) - before) * 1e6 / len(taken),
        "client_cpu_us": 0,
        "draining_seconds": ended - answered,
    }


DBOS.launch()
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(measure(**json.loads(line))), flush=True)
# Its threads would keep it.
os._exit(0)
