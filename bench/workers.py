"""Carpool by itself with several workers: what a request costs then, and how much the threads have to say to each other."""

import os
import signal
import struct

from bench import free_ports
from peers import Carpool, stop_all

COUNTED = 40000  # requests of the run that counts locks, which is not timed


class CountedCarpool(Carpool):
    """Under bench/locks.so."""

    library = ""

    def environment(self):
        return {**os.environ, "LD_PRELOAD": self.library, "CARPOOL_BENCH_COUNTS": os.path.join(self.folder, "counts")}


def start(bench, scenario, cls, count, origin_port):
    label = f"{cls.__name__}-{count}"
    setup = bench.setup(scenario, label, origin_port=origin_port, workers=count)
    proxy = cls(os.path.join(bench.folder, scenario.name, label), setup)
    with bench.machine.placed(set(range(os.cpu_count()))):
        proxy.start(bench.programs["carpool"])
    if not bench.wait_until_open(proxy):
        stop_all([proxy])
        raise SystemExit(f"bench: carpoold with {count} workers does not start: {proxy.last_words()}")
    return proxy


def count_locks(bench, scenario, count, origin_port):
    """Lock operations, those that waited, and wake-ups, each a request."""
    CountedCarpool.library = os.path.join(bench.options.build, "bench", "locks.so")
    if not os.path.exists(CountedCarpool.library):
        return {}
    proxy = start(bench, scenario, CountedCarpool, count, origin_port)
    try:
        before = read_counts(proxy)
        result = bench.run_load(scenario, proxy.setup.listen, origin_port,
                                ["--absolute", "--warm", "0", "--seconds", "60", "--limit", str(COUNTED)])
        counts = [(b - a) / COUNTED for a, b in zip(before, read_counts(proxy))]
    finally:
        stop_all([proxy])
    return {} if result["errors"] else dict(zip(("locks", "contended", "wakeups"), counts))


def read_counts(proxy):
    with open(os.path.join(proxy.folder, "counts"), "rb") as f:
        return struct.unpack("=3Q", f.read(24))


def workers(bench, scenario):
    """Interleaved rounds; the workers may use all cores, so that they do meet each other."""
    if "carpool" not in bench.programs:
        return None
    origin_port = free_ports(scenario.origins)
    counts = [int(n) for n in bench.options.workers.split(",")]
    running, rounds = {}, {n: [] for n in counts}
    try:
        for n in counts:
            running[n] = start(bench, scenario, Carpool, n, origin_port)
            running[n].signal(signal.SIGSTOP)
        for number in range(bench.rounds(scenario)):
            turn = number % len(counts)
            for n in counts[turn:] + counts[:turn]:
                rounds[n].append(bench.measure(scenario, running[n], origin_port))
    finally:
        stop_all(running.values())
    rows = {f"{n} worker{'s' * (n > 1)}": bench.summarise(rounds[n]) for n in counts}
    for n, row in zip(counts, rows.values()):
        row["workers"] = n
        row.update(count_locks(bench, scenario, n, origin_port))
    return {"rounds": bench.rounds(scenario), "rows": rows}
