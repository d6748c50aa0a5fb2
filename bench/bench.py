"""Running scenarios: starts the peers of one, measures them in turn, round after round, and keeps what came out."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from origin import NginxOrigin, make_carpool_ca
from peers import OWN, PEERS, Setup, stop_all
from quiet import Machine
from scenarios import FAST


def free_ports(count=1, used=set()):
    """The first of so many ports in a row, below the range that outgoing connections take theirs from."""
    first = 23000 + os.getpid() % 2000
    while first + count < 32500:
        for port in range(first, first + count):
            if port in used or not is_free(port):
                first = port + 1
                break
        else:
            used.update(range(first, first + count))
            return first
    raise SystemExit("bench: no free ports between 23000 and 32500")


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def connect(listen, timeout=5):
    """A client's connection to a proxy."""
    s = socket.socket(socket.AF_UNIX if listen.startswith("unix:") else socket.AF_INET)
    s.settimeout(timeout)
    try:
        s.connect(listen[5:] if listen.startswith("unix:") else ("127.0.0.1", int(listen)))
    except OSError:
        s.close()
        raise
    return s


class Bench:
    def __init__(self, options):
        self.options = options
        self.machine = Machine(options.disturbed / 100, options.patience, not options.no_realtime)
        self.proxy_cores, self.load_cores = {options.proxy_core}, {options.load_core}
        self.load = os.path.join(options.build, "bench", "load")
        self.folder = tempfile.mkdtemp(prefix="carpool-bench-")
        os.chmod(self.folder, 0o755)
        self.programs = {}
        self._origin = self._ca = None

    def find_peers(self, names):
        """Where the programs of these peers are; those that are not there are left out, with a word."""
        for name in names:
            program = PEERS[name].find(self.options.build)
            if program:
                self.programs[name] = program
            elif name != "other":
                print(f"bench: {name} is not installed, and left out", file=sys.stderr)

    @property
    def origin(self):
        """nginx, started when first wanted."""
        if not self._origin:
            program = PEERS["nginx"].find(self.options.build)
            if not program:
                raise SystemExit("bench: this scenario needs nginx as its origin: apt-get install nginx-light")
            folder = os.path.join(self.folder, "origin")
            os.makedirs(folder)
            self._origin = NginxOrigin(folder, program, free_ports(4))
            with self.machine.placed(self.load_cores):
                self._origin.start()
        return self._origin

    @property
    def ca(self):
        """Carpool's own, for connect: pool; made when first wanted."""
        if not self._ca:
            self._ca = make_carpool_ca(self.options.build, os.path.join(self.folder, "ca"))
        return self._ca

    def close(self):
        if self._origin:
            self._origin.stop()
        if self.options.keep:
            print(f"bench: configurations and logs are kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def load_command(self, scenario, listen, origin_port, extra=()):
        command = [self.load, "--proxy", listen, "--origin-port", str(origin_port),
                   "--clients", str(scenario.clients), "--origins", str(scenario.origins),
                   "--delay-ms", str(scenario.delay_ms), *scenario.load]
        if scenario.origin != "load":
            command += ["--no-origin", "--path", "/" + scenario.file]
        if scenario.inside:
            command += ["--tls", "--origin-host", "localhost"]
        return command + list(extra)

    def run_load(self, scenario, listen, origin_port, extra=()):
        with self.machine.placed(self.load_cores):
            process = subprocess.Popen(self.load_command(scenario, listen, origin_port, extra), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        return load_result(process)

    def origin_port(self, scenario):
        if scenario.origin == "load":
            return free_ports(scenario.origins)
        return getattr(self.origin, scenario.origin)

    def setup(self, scenario, name, **more):
        """What the peer of this name needs to know in this scenario. The port of its origin comes with `more`."""
        listen = f"unix:{self.folder}/{scenario.name}/{name}/proxy.sock" if scenario.unix else str(free_ports())
        if scenario.origin != "load":
            more.update(certificates=self.origin.folder)
        if scenario.inside:
            more.update(inside_ca=self.ca)
        return Setup(listen, unix=scenario.unix, origins=scenario.origins, short=scenario.short, log=scenario.log, callers=scenario.callers,
                     slots=scenario.slots, idle=scenario.kind == "idle", tls=scenario.origin in ("tls", "goaway"), h2=scenario.h2,
                     inside=scenario.inside, **more)

    def sizes(self, scenario, origin_port):
        sizes = self.run_load(scenario, "1", origin_port, ["--absolute", "--sizes", *(["--unsaid"] if scenario.short else [])])
        if scenario.origin == "plain":
            sizes["answer"] = self.origin.answer_size(scenario.file)
        return sizes

    def names(self, scenario):
        return [n for n in self.programs if n in (*(scenario.peers or FAST), "other")]

    def start_peers(self, scenario, origin_port, names=None, **more):
        """All that can do it, each asleep until it is measured; and why the others cannot."""
        sizes = self.sizes(scenario, origin_port)
        running, cannot = {}, {}
        for name in names or self.names(scenario):
            cls = PEERS[name]
            if scenario.name in cls.lacks:
                cannot[name] = cls.lacks[scenario.name]
                continue
            setup = self.setup(scenario, name, origin_port=origin_port, request_size=sizes["request"], answer_size=sizes["answer"],
                               **more)
            running[name] = cls(os.path.join(self.folder, scenario.name, name), setup)
            with self.machine.placed(self.proxy_cores):
                running[name].start(self.programs[name])
        for name, proxy in list(running.items()):
            if self.wait_until_open(proxy):
                proxy.signal(signal.SIGSTOP)
            else:
                cannot[name] = "does not start: " + " ".join(proxy.last_words().split())
                print(f"{name}: {cannot[name]}", file=sys.stderr)
                stop_all([running.pop(name)])
        return running, cannot

    @staticmethod
    def wait_until_open(proxy):
        end = time.monotonic() + 15
        while time.monotonic() < end and proxy.process.poll() is None:
            try:
                connect(proxy.setup.listen).close()
                if proxy.setup.unix:
                    os.chmod(proxy.setup.listen[5:], 0o777)
                time.sleep(0.1)
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def run_load_scenario(self, scenario):
        origin_port = self.origin_port(scenario)
        running, cannot = self.start_peers(scenario, origin_port)
        rounds = {name: [] for name in running}
        wanted = self.rounds(scenario)
        try:
            for number in range(wanted):
                order = [n for n in running if number == 0 or self.options.thorough or not decides_nothing(n, rounds)]
                turn = number % max(1, len(order))
                for name in order[turn:] + order[:turn]:
                    rounds[name].append(self.measure(scenario, running[name], origin_port))
        finally:
            stop_all(running.values())
        rows = {name: self.summarise(r) for name, r in rounds.items() if r}
        rows.update({name: {"cannot": why} for name, why in cannot.items()})
        return {"rounds": wanted, "rows": rows}

    def rounds(self, scenario):
        return max(1, round(self.options.rounds * scenario.rounds))

    def measure(self, scenario, proxy, origin_port, more=()):
        proxy.signal(signal.SIGCONT)
        extra = ["--seconds", str(self.options.seconds * scenario.seconds), "--warm", str(self.options.warm),
                 "--pids", ",".join(map(str, proxy.pids())), *self.manner(scenario, proxy), *more]

        def once():
            before = self.accepted(scenario)
            result = self.run_load(scenario, proxy.setup.listen, origin_port, extra)
            if before is not None:
                result["opened"] = self.accepted(scenario) - before
            return result

        result = self.machine.measured([p for p in (proxy, self._origin) if p], once)
        result["memory_kib"] = proxy.memory()
        proxy.signal(signal.SIGSTOP)
        if self.options.verbose:
            print(f"  {scenario.name} {proxy.name}: {json.dumps(result)}", file=sys.stderr)
        return result

    @staticmethod
    def manner(scenario, proxy):
        """How its clients speak to it."""
        if scenario.inside:
            return [*(["--tunnel"] if proxy.tunnels else []), "--ca", proxy.setup.client_ca(proxy)]
        manner = ["--absolute"] if proxy.absolute else []
        if proxy.name == "floor" and scenario.short:
            manner.append("--unsaid")  # it cannot take the field off, and the origin would close
        return manner

    def accepted(self, scenario):
        return self.origin.accepted() if scenario.origin != "load" else None

    def summarise(self, rounds):
        return summarise(rounds, self.machine.limit)


def load_result(process, timeout=600):
    """What the load generator said at its end."""
    try:
        said, complaint = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        said, complaint = process.communicate()
    if process.returncode != 0:
        return {"errors": 1, "error": complaint.strip() or f"the load generator ended with {process.returncode}", "requests": 0}
    return json.loads(said)


def decides_nothing(name, rounds):
    """One of the slower peers, at more than twice the best one's cost in the first round."""
    costs = {n: r[0]["cpu_us"] for n, r in rounds.items() if not r[0]["errors"] and r[0]["requests"]}
    rivals = [cost for n, cost in costs.items() if n not in OWN]
    slow = name not in OWN and not PEERS[name].fast
    return slow and bool(rivals) and costs.get(name, float("inf")) > 2 * min(rivals)


KEYS = ("cpu_us", "rate", "p50_us", "p99_us", "opened", "open_most", "memory_kib", "least", "most", "others", "work_us")


def summarise(rounds, limit):
    """Medians, of the quiet rounds where there are any. Errors or wrong bytes in any round void the row."""
    errors = sum(r["errors"] for r in rounds)
    summary = {"rounds": len(rounds), "errors": errors, "error": next((r["error"] for r in rounds if r["errors"]), "")}
    if not errors and not all(r["requests"] for r in rounds):
        summary["errors"], summary["error"] = 1, "no answer at all"
    quiet = [r for r in rounds if r["others"] <= limit] or rounds
    for key in KEYS:
        values = [r[key] for r in quiet if key in r]
        middle = max if key in ("opened", "open_most") else statistics.median  # an origin that stays is connected to but once
        summary[key] = middle(values) if values and not summary["errors"] else None
    if not summary["errors"]:
        summary["each"] = {key: [r[key] for r in rounds] for key in ("cpu_us", "rate", "p99_us", "others")}
    return summary
