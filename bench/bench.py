"""Running scenarios: starts the peers of one, measures them in turn, round after round, and keeps what came out."""

import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from origin import NginxOrigin
from peers import OWN, PEERS, Setup, stop_all


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


def busy_ns():
    """What all processors have done so far, idleness not among it; in steps of 10 ms."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) * 10_000_000


def own_ns():
    """What this program has done and those that it waited for, which is the load generator."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usage) * 1e9


class Bench:
    def __init__(self, options):
        self.options = options
        self.load = os.path.join(options.build, "bench", "load")
        self.folder = tempfile.mkdtemp(prefix="carpool-bench-")
        os.chmod(self.folder, 0o755)
        self.programs = {}
        self._origin = None

    def find_peers(self):
        for name in self.options.peers.split(","):
            if name not in PEERS:
                raise SystemExit(f"bench: no peer is called '{name}'; there are: {', '.join(PEERS)}")
            program = PEERS[name].find(self.options.build)
            if program:
                self.programs[name] = program
            elif name != "other":
                print(f"{name}: not installed, skipped", file=sys.stderr)

    @property
    def origin(self):
        """nginx, started when first wanted."""
        if not self._origin:
            program = PEERS["nginx"].find(self.options.build)
            if not program:
                raise SystemExit("bench: this scenario needs nginx as its origin: apt-get install nginx-light")
            folder = os.path.join(self.folder, "origin")
            os.makedirs(folder)
            first = free_ports(3)
            self._origin = NginxOrigin(folder, program, (first, first + 1, first + 2), self.options.load_core)
            self._origin.start()
        return self._origin

    def close(self):
        if self._origin:
            self._origin.stop()
        if self.options.keep:
            print(f"bench: configurations and logs are kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def load_command(self, scenario, listen, origin_port, extra):
        command = ["taskset", "-c", self.options.load_core, self.load, "--proxy", listen, "--origin-port", str(origin_port),
                   "--clients", str(scenario.clients), "--origins", str(scenario.origins),
                   "--delay-ms", str(scenario.delay_ms), *scenario.load]
        if scenario.origin != "load":
            command += ["--no-origin", "--path", "/" + scenario.file]
        return command + list(extra)

    def run_load(self, scenario, listen, origin_port, extra):
        done = subprocess.run(self.load_command(scenario, listen, origin_port, extra), capture_output=True, text=True, timeout=300,
                              check=False)
        if done.returncode != 0:
            return {"errors": 1, "error": done.stderr.strip() or f"the load generator ended with {done.returncode}", "requests": 0}
        return json.loads(done.stdout)

    def origin_port(self, scenario):
        if scenario.origin == "load":
            return free_ports(scenario.origins)
        return self.origin.tls if scenario.origin == "tls" else self.origin.plain

    def setup(self, scenario, name, **more):
        """What the peer of this name needs to know in this scenario. The port of its origin comes with `more`."""
        listen = f"unix:{self.folder}/{scenario.name}/{name}/proxy.sock" if scenario.unix else str(free_ports())
        tls = scenario.origin == "tls"
        return Setup(listen, unix=scenario.unix, origins=scenario.origins, short=scenario.short, tls=tls, log=scenario.log, callers=scenario.callers,
                     slots=scenario.slots, idle=scenario.kind == "idle", ca=self.origin.ca if tls else "", **more)

    def sizes(self, scenario, origin_port):
        sizes = self.run_load(scenario, "1", origin_port, ["--absolute", "--sizes", *(["--unsaid"] if scenario.short else [])])
        if scenario.origin == "plain":
            sizes["answer"] = self.origin.answer_size(scenario.file)
        return sizes

    def start_peers(self, scenario, origin_port, names=None, **more):
        """All that can do it, each asleep until it is measured; and why the others cannot."""
        sizes = self.sizes(scenario, origin_port)
        running, cannot = {}, {}
        for name in names or self.programs:
            cls = PEERS[name]
            if (cls.only and scenario.name not in cls.only) or (scenario.peers and name not in scenario.peers):
                continue
            if scenario.name in cls.lacks:
                cannot[name] = cls.lacks[scenario.name]
                continue
            setup = self.setup(scenario, name, origin_port=origin_port, request_size=sizes["request"], answer_size=sizes["answer"],
                               **more)
            running[name] = cls(os.path.join(self.folder, scenario.name, name), setup)
            running[name].start(self.programs[name], self.options.proxy_core)
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
        wanted = max(1, round(self.options.rounds * scenario.rounds))
        try:
            for number in range(wanted):
                order = [n for n in running if number == 0 or self.options.thorough or not decides_nothing(n, rounds)]
                turn = number % max(1, len(order))
                for name in order[turn:] + order[:turn]:
                    rounds[name].append(self.measure(scenario, running[name], origin_port))
        finally:
            stop_all(running.values())
        rows = {name: summarise(r) for name, r in rounds.items() if r}
        rows.update({name: {"cannot": why} for name, why in cannot.items()})
        return {"rounds": wanted, "rows": rows}

    def measure(self, scenario, proxy, origin_port):
        proxy.signal(signal.SIGCONT)
        extra = ["--seconds", str(self.options.seconds * scenario.seconds), "--warm", str(self.options.warm),
                 "--pids", ",".join(map(str, proxy.pids()))]
        extra += self.manner(scenario, proxy)
        before = self.accepted(scenario)
        with Disturbance(self, proxy) as disturbance:
            result = self.run_load(scenario, proxy.setup.listen, origin_port, extra)
        result["others"] = disturbance.share
        if before is not None:
            result["opened"] = self.accepted(scenario) - before
        result["memory_kib"] = proxy.memory()
        proxy.signal(signal.SIGSTOP)
        if self.options.verbose:
            print(f"  {scenario.name} {proxy.name}: {json.dumps(result)}", file=sys.stderr)
        return result

    @staticmethod
    def manner(scenario, proxy):
        """How its clients speak to it."""
        manner = ["--absolute"] if proxy.absolute else []
        if proxy.name == "floor" and scenario.short:
            manner.append("--unsaid")  # it cannot take the field off, and the origin would close
        return manner

    def accepted(self, scenario):
        return self.origin.accepted() if scenario.origin != "load" else None


class Disturbance:
    """Which share of the machine went to what has nothing to do with the measurement."""

    def __init__(self, bench, proxy):
        self.proxies = [p for p in (proxy, bench._origin) if p]

    def account(self):
        return time.monotonic(), busy_ns(), own_ns() + sum(p.cpu_ns() for p in self.proxies)

    def __enter__(self):
        self.before = self.account()
        return self

    def __exit__(self, *_):
        seconds, busy, ours = (b - a for a, b in zip(self.before, self.account()))
        self.share = max(0.0, (busy - ours) / (seconds * 1e9 * os.cpu_count()))


def decides_nothing(name, rounds):
    """One of the slower peers, at more than twice the best one's cost in the first round."""
    costs = {n: r[0]["cpu_us"] for n, r in rounds.items() if not r[0]["errors"] and r[0]["requests"]}
    rivals = [cost for n, cost in costs.items() if n not in OWN]
    slow = name not in OWN and not PEERS[name].fast
    return slow and bool(rivals) and costs.get(name, float("inf")) > 2 * min(rivals)


KEYS = ("cpu_us", "rate", "p50_us", "p99_us", "opened", "open_most", "memory_kib", "least", "most", "others", "work_us")


def summarise(rounds):
    """Errors or wrong bytes in any round void the row."""
    errors = sum(r["errors"] for r in rounds)
    summary = {"rounds": len(rounds), "errors": errors, "error": next((r["error"] for r in rounds if r["errors"]), "")}
    if not errors and not all(r["requests"] for r in rounds):
        summary["errors"], summary["error"] = 1, "no answer at all"
    for key in KEYS:
        values = [r[key] for r in rounds if key in r]
        middle = max if key in ("opened", "open_most") else statistics.median  # an origin that stays is connected to but once
        summary[key] = middle(values) if values and not summary["errors"] else None
    if not summary["errors"]:
        summary["each"] = {key: [r[key] for r in rounds] for key in ("cpu_us", "rate")}
    return summary
