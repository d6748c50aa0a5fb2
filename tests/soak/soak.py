#!/usr/bin/env python3
"""Load for as long as you like: nothing lost, nothing mixed up, nothing left behind. `make soak` runs it.

Clients of every habit (short, kept, uploading, going away) over few upstream sockets, to an origin that closes behind
their back, and over HTTP/2 to one that refuses streams and says GOAWAY again and again, while the configuration is reloaded every 5 s and agents are drained, paused and resumed. At the end every
answer was right, memory has stood still, descriptors are back, empty origins are forgotten, and the counters add up.
Clients and origin are a program of their own, load.c."""
import argparse
import contextlib
import io
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from behaviour.harness.daemon import Daemon, binary     # noqa: E402  (the path above comes first)
from behaviour.harness.ports import Ports               # noqa: E402
from behaviour.harness.waiting import soon              # noqa: E402

AGENTS = ("soak", "multi", "many")
RELOAD_EVERY = 5
PIPE_ENDS_KEPT = 8      # in each loop, for large content
FORGOTTEN_AFTER = 75    # an empty origin is kept for 60 s, and looked at every few
MEMORY_GROWTH = 4 << 20     # and a page a client: how many of them meet a pause at once is luck
MEMORY_LEFT = 32 << 20      # when nobody is there, in each loop's heap


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--rate", type=int, default=2000, help="requests a second, of all together")
    parser.add_argument("--sockets", type=int, default=50, help="upstream sockets that they share")
    parser.add_argument("--hosts", type=int, default=300, help="names of the many-hosts part")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def configuration(chosen, port, turn):
    sockets = chosen.sockets - turn % 2 * 5
    address = [f"127.0.0.1:{port}"]
    return {"workers": chosen.workers, "log": {"level": "warn"},
            "server": {"maxConnections": chosen.clients + 1000},
            "defaults": {"maxPendingRequests": 100000, "maxSocketAge": "5s", "maxRequestsPerSocket": 1000 - turn % 2,
                         "timeouts": {"pending": "100s", "free": "2s"}},
            "upstreams": {"soak": {"match": f"soak.test:{port}", "address": address, "maxSockets": sockets},
                          "multi": {"match": f"multi.test:{port}", "address": address, "maxSockets": 2 * sockets, "replayLimit": "16MiB",
                                    "maxSocketAge": "20s", "maxRequestsPerSocket": 5000, "h2Options": {"useH2c": True}},
                          "many": {"match": f"*.many.test:{port}", "address": address, "maxTotalSockets": chosen.sockets}}}


def load(*words):
    return subprocess.Popen([binary("LOAD"), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Soak:
    def __init__(self, chosen, directory):
        self.chosen = chosen
        self.clients = None
        self.origin = load("origin")
        self.port = int(self.origin.stdout.readline())
        self.carpool = Daemon(configuration(chosen, self.port, 0), Ports(), directory)
        self.problems = []
        self.resident = []      # (seconds since the start, bytes)
        self.most_clients = self.most_sockets = self.reloads = 0

    def expect(self, true, text):
        if not true:
            self.problems.append(text)

    def order(self, path):
        self.expect(self.carpool.admin(path, "POST").status < 300, f"{path} was refused")

    def look(self, began):
        agents = self.carpool.agents()
        for name in ("soak", "many"):
            now = sum(row[kind] for row in agents[name]["origins"] for kind in ("sockets", "connecting", "freeSockets"))
            self.most_sockets = max(self.most_sockets, now)
        now = sum(int(float(line.split()[1])) for line in self.carpool.admin("/metrics").text.splitlines()
                  if line.startswith("carpool_client_connections{"))
        self.most_clients = max(self.most_clients, now)
        self.resident.append((time.monotonic() - began, self.carpool.resident()))

    def operate(self, over):
        """In a thread of its own: whatever stops it is a problem of the soak."""
        try:
            self.give_orders(over)
        except Exception as error:  # noqa: BLE001
            self.problems.append(f"the orders ended with {error!r}")

    def give_orders(self, over):
        """Reloads, drains, pauses and resumes, and looks at the daemon all the while."""
        began, turn = time.monotonic(), 0
        while not over.wait(max(0.0, began + turn * RELOAD_EVERY - time.monotonic())):
            turn += 1
            self.carpool.write({**self.carpool.config, **configuration(self.chosen, self.port, turn)})
            if turn % 2:
                self.order("/reload")
            else:
                self.carpool.signal(signal.SIGHUP)
            self.reloads += 1
            for path, pause in (("drain", 1), ("pause", 0.3), ("resume", 1)):
                over.wait(pause)
                for agent in ("soak", "multi"):
                    self.order(f"/agents/{agent}/{path}")
            self.look(began)

    def load(self):
        """What the clients say at their end."""
        chosen = self.chosen
        self.clients = load("clients", "--proxy", self.carpool.port, "--origin", self.port, "--clients", chosen.clients,
                            "--pause", 1000 * chosen.clients // chosen.rate, "--hosts", chosen.hosts, "--seconds",
                            chosen.seconds, "--seed", chosen.seed)
        over = threading.Event()
        operator = threading.Thread(target=self.operate, args=(over,))
        operator.start()
        try:
            *said, figures = self.clients.communicate()[0].splitlines() or [""]
        finally:
            over.set()
            operator.join()
        self.problems += said
        self.expect(self.clients.returncode == 0, f"the clients ended with {self.clients.returncode}: {figures}")
        return json.loads(figures)

    def settle(self, descriptors):
        """All sockets go when they are drained, and all descriptors with them."""
        def back():
            for agent in AGENTS:
                self.order(f"/agents/{agent}/drain")
            # The connections of these orders go as well.
            return soon(lambda: self.carpool.descriptors() <= descriptors, 0.2)
        self.expect(soon(back, 60), f"{self.carpool.descriptors()} descriptors are open, {descriptors} at the start")

    def memory_returns(self, memory):
        """What many clients took goes back to the system with them."""
        most = max(size for _, size in self.resident) - memory
        allowed = MEMORY_LEFT * self.chosen.workers
        if self.chosen.clients >= 3000:
            allowed = min(allowed, most * 2 / 3)
        self.expect(self.carpool.sanitized or soon(lambda: self.carpool.resident() - memory <= allowed),
                    f"memory does not return: {memory} before, {most} more with clients, "
                    f"{self.carpool.resident() - memory} without")

    def few_pipes(self, before):
        now = self.carpool.pipes()
        self.expect(now <= before + PIPE_ENDS_KEPT * self.chosen.workers, f"{now} ends of pipes are open, {before} at the start")

    def unprocessed(self):
        """Requests that an HTTP/2 origin refused, and that were sent again."""
        return sum(int(float(line.split()[-1])) for line in self.carpool.admin("/metrics").text.splitlines()
                   if line.startswith("carpool_agent_unprocessed_total{"))

    def books(self, clients):
        """The counters add up, and with those of the clients."""
        total = {}
        for name in AGENTS:
            for row in self.carpool.agents()[name]["origins"]:
                for key in ("requestsTotal", "socketsOpened", "reusedTotal", "retriesTotal", "sockets", "freeSockets",
                            "connecting", "requests", "draining"):
                    total[key] = total.get(key, 0) + row.get(key, 0)
                for reason, count in row["retiredTotal"].items():
                    total[reason] = total.get(reason, 0) + count
                    total["retired"] = total.get("retired", 0) + count
        established = total["retired"] - total.get("connect-failed", 0) - total.get("connect-timeout", 0)
        attempts = total["requestsTotal"] + total["retriesTotal"] + self.unprocessed()
        opened = total["socketsOpened"]
        now_open = total["sockets"] + total["freeSockets"] + total["draining"]
        self.expect(opened == established + now_open, f"{opened} opened, {established} retired, {now_open} open")
        # Who went away while waiting got no socket, and may leave one behind that nobody used.
        missing = attempts - opened - total["reusedTotal"]
        self.expect(abs(missing) <= clients["aborted"],
                    f"{attempts} attempts, {opened} first uses, {total['reusedTotal']} others")
        # A request that was repeated by its client met the end of an idle connection: Carpool never had it.
        arrived = clients["sent"] - clients["repeated"]
        self.expect(0 <= arrived - total["requestsTotal"] <= clients["aborted"],
                    f"{arrived} requests arrived, {total['requestsTotal']} were counted")
        self.expect(not total.get("protocol-error") and not total.get("unexpected-data"), f"retired: {total}")
        return total

    def memory(self):
        """It stands still once the load has been the same for a while."""
        settled = [size for at, size in self.resident if at > self.chosen.seconds / 3]
        if self.carpool.sanitized or len(settled) < 6:
            return
        half = len(settled) // 2
        before, after = statistics.median(settled[:half]), statistics.median(settled[half:])
        self.expect(after - before < MEMORY_GROWTH + 4096 * self.chosen.clients,
                    f"memory grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB")

    def forgotten(self):
        """Empty origins are."""
        def left():
            return sum(row["origin"] != "*" for row in self.carpool.agents()["many"]["origins"])
        self.expect(soon(lambda: not left(), FORGOTTEN_AFTER), f"{left()} origins without a socket are still remembered")

    def run(self):
        descriptors, pipes = self.carpool.descriptors(), self.carpool.pipes()
        memory, began = self.carpool.resident(), time.monotonic()
        clients = self.load()
        took = time.monotonic() - began
        self.settle(descriptors)
        self.few_pipes(pipes)
        self.books(clients)
        self.memory()
        self.memory_returns(memory)
        if self.chosen.seconds >= 120:
            self.forgotten()
        total = self.books(clients)     # what is forgotten goes on in the row "*"
        *said, seen = self.origin.communicate("")[0].splitlines()
        self.problems += said
        self.expect(self.most_sockets <= self.chosen.sockets, f"{self.most_sockets} sockets at once")
        self.expect(clients["whole"] > 0, "nothing was answered")
        left = self.carpool.resident()
        self.finish()
        print(f"{took:.0f} s, {self.chosen.clients} clients ({self.most_clients} connected at once), {self.chosen.sockets} sockets "
              f"({self.most_sockets} at once), {self.reloads} reloads; clients: {clients}; origin: {seen}; Carpool: {total}; MiB: "
              f"{memory / 2**20:.1f} at the start, {[round(size / 2**20, 1) for _, size in self.resident[:: max(1, len(self.resident) // 12)]]}, "
              f"{left / 2**20:.1f} without clients; seed {self.chosen.seed}")
        for problem in self.problems:
            print("PROBLEM", problem)
        return 1 if self.problems else 0

    def finish(self):
        log = io.StringIO()
        try:
            with contextlib.redirect_stdout(log):
                self.carpool.finish()
        except AssertionError as error:
            self.problems += [str(error), log.getvalue()[-10000:]]

    def close(self):
        self.carpool.kill()
        for process in filter(None, (self.clients, self.origin)):
            process.kill()
            process.wait()


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    chosen = options()
    if chosen.clients + 200 > most:
        sys.exit(f"{chosen.clients} clients need as many descriptors: the limit is {most} (ulimit -n)")
    with tempfile.TemporaryDirectory(prefix="carpool-soak-") as directory:
        soak = Soak(chosen, directory)
        try:
            return soak.run()
        finally:
            soak.close()


if __name__ == "__main__":
    sys.exit(main())
