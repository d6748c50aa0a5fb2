"""Scenarios whose figure is not CPU time: memory, connections, latency, the start. Those of HTTP/2: streams.py."""

import itertools
import os
import signal
import socket
import statistics
import threading
import time

from bench import connect, free_ports
from peers import PEERS, stop_all

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ONE_SHOTS = 200


def request_bytes(proxy, target, method="GET", close=True, body=b""):
    port = proxy.setup.origin_port
    url = f"http://127.0.0.1:{port}{target}" if proxy.absolute else target
    length = f"Content-Length: {len(body)}\r\n" if method in ("POST", "PUT", "PATCH") else ""
    end = "Connection: close\r\n" if close else ""
    return f"{method} {url} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}{end}\r\n".encode() + body


def read_answer(s, has_body=True):
    """One answer with a Content-Length; the connection stays."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += receive(s)
    head, body = answer.split(b"\r\n\r\n", 1)
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while has_body and len(body) < length:
        body += receive(s)
    return int(head.split()[1]), body


def receive(s):
    piece = s.recv(1 << 16)
    if not piece:
        raise ConnectionError("closed before the whole answer")
    return piece


def each_peer(bench, scenario, origin_port, measure):
    """Rows of what `measure` tells of each peer in turn; what goes wrong voids a row."""
    running, cannot = bench.start_peers(scenario, origin_port)
    rows = {name: {"cannot": why} for name, why in cannot.items()}
    try:
        for name, proxy in running.items():
            proxy.signal(signal.SIGCONT)
            try:
                rows[name] = {"errors": 0, **measure(proxy)}
            except (OSError, ValueError, IndexError) as error:
                rows[name] = void(error)
            proxy.signal(signal.SIGSTOP)
    finally:
        stop_all(running.values())
    return {"rounds": 1, "rows": rows}


def void(error):
    return {"errors": 1, "error": str(error) or type(error).__name__, "figure": None}


def private(proxy):
    """What is its alone, in bytes."""
    return 1024 * proxy.memory("Private_Clean", "Private_Dirty")


class Crowd:
    """Clients of one proxy that stay connected."""

    def __init__(self, proxy, target):
        self.proxy, self.target, self.clients = proxy, target, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.clients:
            s.close()

    def join(self, count):
        """One after the other asks once and stays."""
        whole = request_bytes(self.proxy, self.target, close=False)
        for _ in range(count):
            s = connect(self.proxy.setup.listen)
            self.clients.append(s)
            s.sendall(whole)
            self.is_served(s)

    @staticmethod
    def is_served(s):
        status, _ = read_answer(s)
        if status != 200:
            raise ValueError(f"an answer with the status {status}")


def settled(size, wanted=0.2):
    """A size that is read until it stays the same."""
    last = size()
    while (now := (time.sleep(wanted), size())[1]) != last:
        last = now
    return last


def idle(bench, scenario):
    """What a proxy needs for one more client that asked once is what it grew by."""
    origin_port, count = bench.origin_port(scenario), scenario.clients

    def measure(proxy):
        with Crowd(proxy, "/" + scenario.file) as crowd:
            crowd.join(200)
            before = private(proxy)
            crowd.join(count)
            after = private(proxy)
            whole = request_bytes(proxy, "/" + scenario.file, close=False)
            for s in crowd.clients[::1000]:  # are they still served?
                s.sendall(whole)
                crowd.is_served(s)
        return {"figure": (after - before) / count}

    return each_peer(bench, scenario, origin_port, measure)


class SilentOrigin(threading.Thread):
    """Answers, until it is told to be silent."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.is_silent = False
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        with s:
            try:
                while s.recv(1 << 16):
                    if not self.is_silent:
                        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            except OSError:
                pass


def waiting(bench, scenario):
    """Clients that were served and stay all ask once more, and wait: the growth, less what they asked."""
    origin_port, count = bench.origin_port(scenario), scenario.clients
    origin = SilentOrigin(origin_port)

    def measure(proxy):
        with Crowd(proxy, "/") as crowd:
            origin.is_silent = False
            crowd.join(count)
            before = settled(lambda: private(proxy))
            origin.is_silent = True
            whole = request_bytes(proxy, "/", close=False)
            for s in crowd.clients:
                s.sendall(whole)
            after = settled(lambda: private(proxy))
        return {"figure": (after - before) / count - len(whole)}

    try:
        return each_peer(bench, scenario, origin_port, measure)
    finally:
        origin.listener.close()


class CountingOrigin(threading.Thread):
    """Answers any method and counts its connections."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.opened = 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.opened += 1
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    @staticmethod
    def talk(s):
        with s, s.makefile("rb") as stream:
            try:
                while line := stream.readline():
                    fields = {}
                    while (field := stream.readline()) not in (b"\r\n", b""):
                        name, value = field.split(b":", 1)
                        fields[name.lower()] = value.strip()
                    body = CountingOrigin.body(stream, fields)
                    close = fields.get(b"connection", b"").lower() == b"close"
                    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (
                        len(body) + 2, b"Connection: close\r\n" if close else b"")
                    s.sendall(head if line.startswith(b"HEAD") else head + b"ok" + body)
                    if close:
                        return
            except (OSError, ValueError):
                pass

    @staticmethod
    def body(stream, fields):
        if b"transfer-encoding" not in fields:
            return stream.read(int(fields.get(b"content-length", 0)))
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
        return body


def once(bench, scenario):
    """Clients of one request each, one after the other: how many upstream connections did it take?"""
    origin_port = bench.origin_port(scenario)
    origin = CountingOrigin(origin_port)

    def measure(proxy):
        opened = origin.opened
        for number, method in zip(range(ONE_SHOTS), itertools.cycle(METHODS)):
            body = b"%d" % number if method in ("POST", "PUT", "PATCH") else b""
            with connect(proxy.setup.listen) as s:
                s.sendall(request_bytes(proxy, f"/{number}", method, body=body))
                status, answer = read_answer(s, has_body=method != "HEAD")
                if status != 200 or (method != "HEAD" and answer != b"ok" + body):
                    raise ValueError(f"{method}: an answer with the status {status}, or not the origin's")
                while s.recv(4096):  # the next client comes when this one is done
                    pass
        return {"figure": origin.opened - opened}

    try:
        return each_peer(bench, scenario, origin_port, measure)
    finally:
        origin.listener.close()


def latency(bench, scenario):
    """One request at a time to the origin itself and through each proxy, in turn: the median's difference counts. Either
    nothing is pinned, or all to one core: there waking the next program does not cost what waking a processor costs."""
    pinned = bench.load_cores, bench.proxy_cores
    cores = bench.load_cores if scenario.name == "latency-core" else set(range(os.cpu_count()))
    bench.load_cores = bench.proxy_cores = cores
    os.sched_setaffinity(bench.origin.process.pid, cores)
    try:
        return latency_rounds(bench, scenario)
    finally:
        bench.load_cores, bench.proxy_cores = pinned
        os.sched_setaffinity(bench.origin.process.pid, bench.load_cores)


def latency_rounds(bench, scenario):
    origin_port = bench.origin_port(scenario)
    extra = ["--seconds", str(min(0.5, bench.options.seconds)), "--warm", "0.1"]
    running, cannot = bench.start_peers(scenario, origin_port)
    rounds = {name: [] for name in running}
    wanted = bench.rounds(scenario)

    def pair(proxy):
        direct = bench.run_load(scenario, str(origin_port), origin_port, extra)
        result = bench.run_load(scenario, proxy.setup.listen, origin_port, extra + bench.manner(scenario, proxy))
        return {**result, "added_us": result.get("p50_us", 0) - direct.get("p50_us", 0), "errors": result["errors"] + direct["errors"]}

    try:
        for _ in range(wanted):
            for name, proxy in running.items():
                proxy.signal(signal.SIGCONT)
                rounds[name].append(bench.machine.measured([proxy, bench.origin], lambda: pair(proxy)))
                proxy.signal(signal.SIGSTOP)
    finally:
        stop_all(running.values())
    rows = {name: {"cannot": why} for name, why in cannot.items()}
    for name, results in rounds.items():
        bad = [r for r in results if r["errors"] or not r["requests"]]
        if bad:
            rows[name] = void(ValueError(bad[0].get("error") or "no answer"))
            continue
        rows[name] = {"errors": 0, "figure": quiet_median(bench, results, "added_us"), "p99_us": quiet_median(bench, results, "p99_us"),
                      "each": {"others": [r["others"] for r in results]}}
    return {"rounds": wanted, "rows": rows}


def quiet_median(bench, results, key):
    quiet = [r for r in results if r["others"] <= bench.machine.limit] or results
    return statistics.median(r[key] for r in quiet)


def start(bench, scenario):
    """A process is started and asked as soon as it listens; the peers in turn."""
    origin_port = bench.origin_port(scenario)
    sizes = bench.sizes(scenario, origin_port)
    names = [n for n in bench.names(scenario) if scenario.name not in PEERS[n].lacks]
    times, rows, wanted = {n: [] for n in names}, {}, bench.rounds(scenario) + 2

    def once(name, number):
        setup = bench.setup(scenario, name, origin_port=origin_port, request_size=sizes["request"], answer_size=sizes["answer"])
        proxy = PEERS[name](os.path.join(bench.folder, scenario.name, f"{name}-{number}"), setup)
        try:
            return {"ms": first_byte_ms(bench, proxy, bench.programs[name], "/" + scenario.file)}
        finally:
            stop_all([proxy])

    for number in range(wanted):
        for name in names:
            if name in rows or sum(t["ms"] for t in times[name]) > 1500:
                continue
            try:
                # What it used is not known once it is gone: others cannot be told from it, so the machine is asked before.
                bench.machine.wait()
                before = bench.machine.others(0.1)
                times[name].append({**once(name, number), "others": before})
            except OSError as error:
                rows[name] = void(error)
    for name in names:
        rows.setdefault(name, {"errors": 0, "figure": quiet_median(bench, times[name], "ms"),
                               "each": {"others": [t["others"] for t in times[name]]}})
    return {"rounds": wanted, "rows": rows}


def first_byte_ms(bench, proxy, program, target):
    whole = request_bytes(proxy, target)
    with bench.machine.placed(bench.proxy_cores):
        began = time.monotonic()
        proxy.start(program)
    while True:
        try:
            with connect(proxy.setup.listen) as s:
                s.sendall(whole)
                if s.recv(16).startswith(b"HTTP/1.1 200"):
                    return (time.monotonic() - began) * 1000
        except OSError:
            pass
        if time.monotonic() > began + 15 or proxy.process.poll() is not None:
            raise OSError(f"no answer {time.monotonic() - began:.0f} s after the start: {proxy.last_words()}")
        time.sleep(0.0002)
