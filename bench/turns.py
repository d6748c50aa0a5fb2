"""Callers under one limit: how long one waits whose neighbour has hundreds of requests in the queue."""

import os
import pwd
import signal
import statistics
import subprocess

from bench import load_result
from peers import cpu_ns, stop_all
from special import void

SECONDS = 5  # the whole crowd goes before each request where nobody takes turns
CROWD_USER = "nobody"  # the other caller; who runs the bench is the one that is measured


def fair(bench, scenario):
    """p99 of a client that sends one request at a time: by itself, and beside another user's crowd, in order of arrival and in
    turn."""
    if os.geteuid() != 0:
        return {"rounds": 0, "rows": {"carpool": {"cannot": "two users are needed: run as root"}}}
    origin_port = bench.origin_port(scenario)
    running, cannot = bench.start_peers(scenario, origin_port, names=["carpool", "fair-queue"])
    if cannot:
        return {"rounds": 0, "rows": {n: {"cannot": why} for n, why in cannot.items()}}
    origin = spawn(bench, scenario, str(origin_port), origin_port, ["--seconds", "1000", "--warm", "0"], clients=0)
    rounds = {name: [] for name in ("alone", *running)}
    try:
        for _ in range(bench.rounds(scenario)):
            for name in rounds:
                proxy = running[name if name in running else "fair-queue"]
                rounds[name].append(measure(bench, scenario, proxy, origin_port, origin, name != "alone"))
    finally:
        origin.kill()
        origin.communicate()
        stop_all(running.values())
    bad = [r for results in rounds.values() for r in results if r["errors"] or not r["requests"]]
    if bad:
        return {"rounds": 1, "rows": {"carpool": void(ValueError(bad[0].get("error") or "no answer"))}}
    return {"rounds": bench.rounds(scenario), "rows": {name: row(bench, results, rounds["alone"]) for name, results in rounds.items()}}


def row(bench, results, alone):
    """The median of the rounds' ratios."""
    pairs = [(r, a) for r, a in zip(results, alone) if max(r["others"], a["others"]) <= bench.machine.limit] or list(zip(results, alone))
    return {"errors": 0, "figure": statistics.median(r["p99_us"] / a["p99_us"] for r, a in pairs),
            "p99_us": statistics.median(r["p99_us"] for r, _ in pairs),
            "each": {"others": [max(r["others"], a["others"]) for r, a in zip(results, alone)]}}


def measure(bench, scenario, proxy, origin_port, origin, is_crowded):
    proxy.signal(signal.SIGCONT)
    extra = ["--no-origin", *bench.manner(scenario, proxy), "--warm", str(bench.options.warm)]
    def once():
        crowd = is_crowded and spawn(bench, scenario, proxy.setup.listen, origin_port, [*extra, "--seconds", str(SECONDS + 1.5)],
                                     user=CROWD_USER)
        probe = spawn(bench, scenario, proxy.setup.listen, origin_port, [*extra, "--seconds", str(SECONDS)], clients=1)
        result = load_result(probe)
        if crowd:
            crowd.kill()
            crowd.communicate()
        return result

    result = bench.machine.measured([proxy, Spent(origin)], once)
    proxy.signal(signal.SIGSTOP)
    return result


class Spent:
    """The CPU time of a process."""

    def __init__(self, process):
        self.process = process

    def cpu_ns(self):
        return cpu_ns(self.process.pid)


def spawn(bench, scenario, listen, origin_port, extra, clients=None, user=None):
    more = [] if clients is None else ["--clients", str(clients)]
    ids = {"user": pwd.getpwnam(user).pw_uid} if user else {}
    with bench.machine.placed(bench.load_cores):
        return subprocess.Popen(bench.load_command(scenario, listen, origin_port, [*extra, *more]), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **ids)
