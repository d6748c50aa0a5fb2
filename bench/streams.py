"""What HTTP/2 towards the origin promises beside CPU time: few writes, readers that do not feel each other, no request lost or
done twice."""

import os
import signal
import socket
import statistics
import subprocess

from bench import connect, load_result
from peers import PEERS, stop_all
from special import request_bytes, settled, void

STUCK = 99
MILLION = 1_000_000


def counted(cls, library, folder, port):
    """The same proxy under bench/writes.so."""
    class Counted(cls):
        def environment(self):
            return {**os.environ, "LD_PRELOAD": library, "CARPOOL_BENCH_WRITES": os.path.join(folder, f"{cls.name}-writes"),
                    "CARPOOL_BENCH_PORT": str(port)}
    return Counted


def read_count(path):
    with open(path, "rb") as f:
        return int.from_bytes(f.read(8), "little")


def writes(bench, scenario):
    """Calls that write to the origin's connections, a request."""
    origin_port = bench.origin_port(scenario)
    library = os.path.join(bench.options.build, "bench", "writes.so")
    rows = {}
    for name in bench.names(scenario):
        folder = os.path.join(bench.folder, scenario.name)
        cls = counted(PEERS[name], library, folder, origin_port)
        proxy = cls(os.path.join(folder, name), bench.setup(scenario, name, origin_port=origin_port))
        with bench.machine.placed(bench.proxy_cores):
            proxy.start(bench.programs[name])
        try:
            bench.wait_until_open(proxy)
            rows[name] = writes_row(bench, scenario, proxy, os.path.join(folder, f"{name}-writes"), origin_port)
        finally:
            stop_all([proxy])
    return {"rounds": bench.rounds(scenario), "rows": rows}


def writes_row(bench, scenario, proxy, path, origin_port):
    extra = ["--warm", "0", "--seconds", str(bench.options.seconds), *bench.manner(scenario, proxy)]

    def once():
        before = read_count(path)
        result = bench.run_load(scenario, proxy.setup.listen, origin_port, extra)
        return {**result, "writes": (read_count(path) - before) / max(1, result["requests"])}

    rounds = [bench.machine.measured([proxy, bench.origin], once) for _ in range(bench.rounds(scenario))]
    bad = [r for r in rounds if r["errors"]]
    if bad:
        return void(ValueError(bad[0]["error"]))
    quiet = [r for r in rounds if r["others"] <= bench.machine.limit] or rounds
    return {"errors": 0, "figure": statistics.median(r["writes"] for r in quiet), "each": {"others": [r["others"] for r in rounds]}}


def stuck(bench, scenario):
    """Two of the same proxy, one with clients that ask for 10 MB and read nothing of it: what is a reader's share beside them?"""
    origin_port = bench.origin_port(scenario)
    rows, rounds, running, clients = {}, {"carpool": [], "stuck": []}, {}, []
    try:
        for label in rounds:
            started, cannot = bench.start_peers(scenario, origin_port, names=["carpool"])
            if cannot:
                return {"rounds": 0, "rows": {"carpool": cannot["carpool"]}}
            running[label] = started["carpool"]
        memory = get_stuck(running["stuck"], clients)
        for _ in range(bench.rounds(scenario)):
            for label, proxy in running.items():
                rounds[label].append(bench.measure(scenario, proxy, origin_port))
    finally:
        for s in clients:
            s.close()
        stop_all(running.values())
    rows = {"carpool": bench.summarise(rounds["carpool"]), "stuck": {**bench.summarise(rounds["stuck"]), "memory_each_kib": memory}}
    return {"rounds": bench.rounds(scenario), "rows": rows}


def get_stuck(proxy, clients):
    """Memory of each of the stuck ones, in KiB."""
    proxy.signal(signal.SIGCONT)
    before = proxy.memory()
    for _ in range(STUCK):
        s = connect(proxy.setup.listen)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(request_bytes(proxy, "/10m", close=False))
        clients.append(s)
    settled(lambda: proxy.cpu_ns() // 5_000_000)  # until what the kernel takes for them is full
    after = proxy.memory()
    proxy.signal(signal.SIGSTOP)
    return (after - before) / STUCK


def million(bench, scenario):
    """Half of them GET and half POST, by two load generators; the origin counts what it began."""
    origin_port, half = bench.origin_port(scenario), bench.options.requests // 2
    running, cannot = bench.start_peers(scenario, origin_port, names=["carpool"])
    if cannot:
        return {"rounds": 0, "rows": {"carpool": cannot["carpool"]}}
    proxy = running["carpool"]
    proxy.signal(signal.SIGCONT)
    common = ["--warm", "0", "--seconds", "600", "--limit", str(half), *bench.manner(scenario, proxy)]
    connections, requests = bench.origin.counts()
    loads = []
    try:
        with bench.machine.placed(bench.load_cores):
            loads = [subprocess.Popen(bench.load_command(scenario, proxy.setup.listen, origin_port, common + more), stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
                     for more in ([], ["--method", "POST", "--upload", "1024"])]
        results = [load_result(load, 900) for load in loads]
    finally:
        for load in loads:
            load.kill()
        stop_all(running.values())
    opened, begun = (b - a for a, b in zip((connections, requests), bench.origin.counts()))
    errors = sum(r["errors"] for r in results)
    asked = sum(r["requests"] for r in results) + errors
    return {"rounds": 1, "rows": {"carpool": {
        "errors": 0, "figure": errors + abs(begun - asked), "note": f"{asked:,} requests: {errors} errors"
        f"{' (' + next(r['error'] for r in results if r['errors']) + ')' if errors else ''}, {begun - asked} more at the origin than "
        f"asked, {opened:,} connections opened"}}}
