#!/usr/bin/env python3
"""Load for as long as you like: nothing lost, nothing mixed up, nothing left behind. `make soak` runs it.

Clients of every habit (short, kept, uploading, going away) over few upstream sockets, to an origin that closes behind
their back, while the configuration is reloaded every 5 s and agents are drained, paused and resumed. At the end every
answer was right, memory has stood still, descriptors are back, and the counters add up."""
import argparse
import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from behaviour.harness.daemon import Daemon     # noqa: E402  (the path above comes first)
from behaviour.harness.ports import Ports       # noqa: E402
from soak.clients import Clients                # noqa: E402

RELOAD_EVERY = 5
FORGOTTEN_AFTER = 75
MEMORY_GROWTH = 16 << 20


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--sockets", type=int, default=50, help="upstream sockets that they share")
    parser.add_argument("--hosts", type=int, default=300, help="names of the many-hosts part")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def configuration(chosen, port, turn):
    sockets = chosen.sockets - turn % 2 * 5
    address = [f"127.0.0.1:{port}"]
    # Clients in one slow thread come back late: a connection that was idle for longer would be closed with reason.
    return {"server": {"maxConnections": chosen.clients + 1000, "requestTimeout": "300s", "keepAliveTimeout": "300s",
                       "headersTimeout": "300s", "timeout": "300s"},
            "log": {"level": "warn"},
            "defaults": {"maxPendingRequests": 100000, "maxSocketAge": "5s", "maxRequestsPerSocket": 1000 - turn % 2,
                         "timeouts": {"pending": "100s", "free": "2s"}},
            "upstreams": {"soak": {"match": f"soak.test:{port}", "address": address, "maxSockets": sockets},
                          "many": {"match": f"*.many.test:{port}", "address": address, "maxTotalSockets": chosen.sockets}}}


class Soak:
    def __init__(self, chosen, directory):
        self.chosen = chosen
        self.origin = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "origin.py")],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.origin.stdout.readline())
        self.carpool = Daemon(configuration(chosen, self.port, 0), Ports(), directory)
        self.clients = Clients(self.carpool.address, self.port, chosen.seed, chosen.hosts)
        self.problems = []
        self.resident = []      # (seconds since the start, bytes)
        self.peak = self.reloads = 0

    def expect(self, true, text):
        if not true:
            self.problems.append(text)

    async def admin(self, *args):
        return await asyncio.get_running_loop().run_in_executor(None, self.carpool.admin, *args)

    async def operate(self, end):
        """Reloads, drains, pauses and resumes, and looks at the daemon all the while."""
        start, turn = time.monotonic(), 0
        while time.monotonic() < end:
            turn += 1
            self.carpool.write({**self.carpool.config, **configuration(self.chosen, self.port, turn)})
            if turn % 2:
                self.expect((await self.admin("/reload", "POST")).status < 300, "a reload was refused")
            else:
                self.carpool.signal(signal.SIGHUP)
            self.reloads += 1
            for path, pause in (("drain", 1), ("pause", 0.3), ("resume", 1)):
                await asyncio.sleep(pause)
                self.expect((await self.admin(f"/agents/soak/{path}", "POST")).status < 300, f"{path} was refused")
            table = (await self.admin("/agents")).body
            open_now = sum(row["sockets"] + row["connecting"] + row["freeSockets"] for agent in json.loads(table)["agents"]
                           if agent["name"] == "soak" for row in agent["origins"])
            self.peak = max(self.peak, open_now)
            self.resident.append((time.monotonic() - start, self.carpool.resident()))
            await asyncio.sleep(max(0.0, RELOAD_EVERY - 2.3))

    async def load(self):
        loop = asyncio.get_running_loop()
        end = loop.time() + self.chosen.seconds
        operator = asyncio.create_task(self.operate(time.monotonic() + self.chosen.seconds))
        await asyncio.gather(*(self.clients.live(index, end) for index in range(self.chosen.clients)))
        await operator

    def settle(self, descriptors):
        """All sockets go when they are drained, and all descriptors with them."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for agent in ("soak", "many"):
                self.carpool.admin(f"/agents/{agent}/drain", "POST")
            if self.carpool.descriptors() <= descriptors + 2:
                return
            time.sleep(0.2)
        self.problems.append(f"{self.carpool.descriptors()} descriptors are open, {descriptors} at the start")

    def books(self):
        """The counters add up."""
        total = {}
        for name in ("soak", "many"):
            for row in self.carpool.agents()[name]["origins"]:
                for key in ("requestsTotal", "socketsOpened", "reusedTotal", "retriesTotal", "sockets", "freeSockets",
                            "connecting", "requests"):
                    total[key] = total.get(key, 0) + row.get(key, 0)
                for reason, count in row["retiredTotal"].items():
                    total[reason] = total.get(reason, 0) + count
                    total["retired"] = total.get("retired", 0) + count
        established = total["retired"] - total.get("connect-failed", 0) - total.get("connect-timeout", 0)
        opened, attempts = total["socketsOpened"], total["requestsTotal"] + total["retriesTotal"]
        self.expect(opened == established + total["sockets"] + total["freeSockets"],
                    f"{opened} opened, {established} retired, {total['sockets'] + total['freeSockets']} open")
        # Who went away while waiting got no socket, and may leave one behind that nobody used.
        missing = attempts - opened - total["reusedTotal"]
        self.expect(abs(missing) <= self.clients.aborted, f"{attempts} attempts, {opened} first uses, {total['reusedTotal']} others")
        self.expect(0 <= self.clients.sent - total["requestsTotal"] <= self.clients.aborted,
                    f"{self.clients.sent} requests were sent, {total['requestsTotal']} counted")
        self.expect(not total.get("protocol-error") and not total.get("unexpected-data"), f"retired: {total}")
        return total

    def memory(self):
        if self.carpool.sanitized or len(self.resident) < 4:
            return
        settled = [size for at, size in self.resident if at > self.chosen.seconds / 3]
        half = len(settled) // 2
        if half:
            before, after = max(settled[:half]), max(settled[half:])
            self.expect(after - before < MEMORY_GROWTH, f"memory grew from {before >> 20} to {after >> 20} MiB")

    def forgotten(self):
        """Empty origins are."""
        end = time.monotonic() + FORGOTTEN_AFTER
        while time.monotonic() < end:
            left = len(self.carpool.agents()["many"]["origins"])
            if left <= 1:
                return
            time.sleep(1)
        self.problems.append(f"{left} origins without a socket are still remembered")

    def run(self):
        descriptors, began = self.carpool.descriptors(), time.monotonic()
        asyncio.run(self.load())
        took = time.monotonic() - began
        self.settle(descriptors)
        total = self.books()
        self.memory()
        if self.chosen.seconds >= 120:
            self.forgotten()
        said, _ = self.origin.communicate("")
        seen = json.loads(said)
        clients = self.clients
        self.problems += clients.wrong[:20] + seen["wrong"]
        self.expect(self.peak <= self.chosen.sockets + 5, f"{self.peak} sockets at once")
        self.expect(clients.whole > 0, "nothing was answered")
        log = io.StringIO()
        try:
            with contextlib.redirect_stdout(log):
                self.carpool.finish()
        except AssertionError as error:
            self.problems += [str(error), log.getvalue()[-10000:]]
        print(f"{clients.sent} requests in {took:.0f} s by {self.chosen.clients} clients over {self.chosen.sockets} sockets: "
              f"{clients.whole} whole ({clients.octets >> 20} MiB checked), {clients.aborted} gone away, {clients.terminated} "
              f"uploads met a stale socket, {len(clients.wrong)} wrong; {self.reloads} reloads; books {total}; memory "
              f"{[size >> 20 for _, size in self.resident[:: max(1, len(self.resident) // 12)]]} MiB; seed {self.chosen.seed}")
        for problem in self.problems:
            print("PROBLEM", problem)
        return 1 if self.problems else 0

    def close(self):
        self.carpool.kill()
        self.origin.kill()
        self.origin.wait()


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
