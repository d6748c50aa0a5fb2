#!/usr/bin/env python3
"""Randomly misbehaving origins and clients, reloads, drains and pauses all the while: each answer must be for the request it
follows, what may not be repeated is seen once, nobody is ever sent what only a request's content names, nobody uses a
connection on which another has logged in, and in the end nothing is left.

    CARPOOLD=build/carpoold tests/stress/stress.py --seconds 60 --seed 1

The seed says what each side does; when, is the machine's. A failure ends with 1 and names the seed."""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from behaviour.harness.daemon import Daemon  # noqa: E402
from behaviour.harness.ports import Ports  # noqa: E402
from behaviour.harness.waiting import wait_until  # noqa: E402
from stress.clients import Client, Wrong  # noqa: E402
from stress.origins import Origin  # noqa: E402

SHAPES = [{"maxSockets": 100}, {"maxSockets": 3}, {"maxSockets": 1, "scheduling": "fifo"}, {"retries": 3},
          {"maxRequestsPerSocket": 2}, {"replayLimit": 0}, {"maxTotalSockets": 4}, {"timeouts": {"free": 50}},
          {"drainLimit": 0}, {"minFreeSockets": 2}]


class World:
    def __init__(self, arguments, directory):
        self.seed = arguments.seed
        self.seconds = arguments.seconds
        self.workers = arguments.workers
        self.over = False
        ports = Ports()
        self.ports = [ports.take() for _ in range(4)]
        self.trap_port = ports.take()
        self.trapped = []
        self.wrong = []
        self.port = ports.take()
        self.path = os.path.join(directory, "clients")
        self.daemon = Daemon(self.config(SHAPES[0]), ports, directory)
        seen = set()
        self.origins = [Origin(port, f"{self.seed} origin {port - self.ports[0]}", seen) for port in self.ports]
        self.clients = [Client(self, number) for number in range(arguments.clients)]

    def config(self, shape):
        policy = {**shape, "timeouts": {"connect": "5s", **shape.get("timeouts", {})}}
        return {"listen": [f"127.0.0.1:{self.port}", f"unix:{self.path}"], "workers": self.workers,
                "access": {"connectPorts": self.ports}, "defaults": policy}

    async def trap(self, reader, writer):
        self.trapped.append(await reader.read(1000))
        writer.close()

    async def reload(self):
        for number in range(1, 1 << 30):
            await asyncio.sleep(0.5)
            self.daemon.write({**self.daemon.config, **self.config(SHAPES[number % len(SHAPES)])})
            self.daemon.signal(signal.SIGHUP)

    async def operate(self):
        dice = random.Random(f"{self.seed} operator")
        while True:
            await asyncio.sleep(dice.uniform(0.1, 0.6))
            for verb in dice.choice([["drain"], ["pause", "resume"], ["pause", "drain", "resume"]]):
                try:
                    await asyncio.to_thread(self.daemon.admin, f"/agents/default/{verb}", "POST")
                except OSError:     # it stops
                    return
                await asyncio.sleep(dice.uniform(0, 0.05))

    async def guarded(self, client):
        try:
            await client.live()
        except Wrong as error:
            self.wrong.append(str(error))
        except TimeoutError:
            self.wrong.append(f"client {client.number} waited for two minutes")

    async def run(self):
        trap = await asyncio.start_server(self.trap, "127.0.0.1", self.trap_port)
        work = [*(o.flap() for o in self.origins), self.reload(), self.operate()]
        self.noise = [asyncio.create_task(one) for one in work]
        lives = [asyncio.create_task(self.guarded(client)) for client in self.clients]
        await asyncio.sleep(self.seconds)
        self.over = True
        await asyncio.gather(*lives)
        found = await asyncio.to_thread(self.findings)      # while the origins go on
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        trap.close()
        return found

    def nothing_is_left(self):
        rows = [row for agent in self.daemon.agents().values() for row in agent["origins"]]
        return all(row["sockets"] == row["requests"] == 0 for row in rows)

    def findings(self):
        found = self.wrong + [f"a POST came twice: {target}" for o in self.origins for target in o.doubles]
        found += [stranger for o in self.origins for stranger in o.strangers]
        if self.trapped:
            found.append(f"{len(self.trapped)} requests out of contents, such as {self.trapped[0][:80]!r}")
        if self.daemon.process.poll() is not None:
            return found + [f"carpoold ended with {self.daemon.process.returncode}"]
        try:
            wait_until(self.nothing_is_left, "all places come back")
        except AssertionError as error:
            found.append(str(error))
        self.daemon.ends_itself()
        self.daemon.signal(signal.SIGTERM)
        if self.daemon.wait() != 0:
            found.append("it did not stop in order")
        if "Sanitizer" in self.daemon.stderr or "runtime error" in self.daemon.stderr:
            found.append("a sanitizer's report: see its log")
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        world = World(arguments, directory)
        try:
            found = asyncio.run(world.run())
        finally:
            log = world.daemon.stderr
            world.daemon.kill()
    asked = sum(client.asked for client in world.clients)
    answered = sum(client.answered for client in world.clients)
    print(f"stress: seed {arguments.seed}, {arguments.workers} workers: {asked} requests, {answered} answers, "
          f"{len(found)} findings")
    if found:
        print("\n".join(found[:20]), log[-5000:], sep="\n")
        sys.exit(1)
    if answered < arguments.clients:
        sys.exit("hardly anything was answered: this has tested nothing")


if __name__ == "__main__":
    main()
