"""Scenarios whose figure is not CPU time: memory, connections, latency, the start."""

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
                rows[name] = {"errors": 1, "error": str(error), "figure": None}
            proxy.signal(signal.SIGSTOP)
    finally:
        stop_all(running.values())
    return {"rounds": 1, "rows": rows}


def idle(bench, scenario):
    """One client after the other asks once and stays: what a proxy needs for one more is what it grew by."""
    origin_port, count = bench.origin_port(scenario), scenario.clients

    def stay(proxy, clients, whole):
        s = connect(proxy.setup.listen)
        clients.append(s)
        s.sendall(whole)
        status, body = read_answer(s)
        if status != 200 or len(body) != 1024:
            raise ValueError(f"an answer with the status {status}")

    def measure(proxy):
        clients = []
        whole = request_bytes(proxy, "/" + scenario.file, close=False)
        try:
            for _ in range(200):
                stay(proxy, clients, whole)
            before = proxy.memory("Private_Clean", "Private_Dirty")
            for _ in range(count):
                stay(proxy, clients, whole)
            after = proxy.memory("Private_Clean", "Private_Dirty")
            for s in clients[::1000]:  # are they still served?
                s.sendall(whole)
                read_answer(s)
        finally:
            for s in clients:
                s.close()
        return {"figure": (after - before) * 1024 / count, "before_kib": before, "after_kib": after}

    return each_peer(bench, scenario, origin_port, measure)


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
    pinned = bench.options.load_core, bench.options.proxy_core
    cores = {int(pinned[0])} if scenario.name == "latency-core" else set(range(os.cpu_count()))
    bench.options.load_core = bench.options.proxy_core = ",".join(map(str, cores))
    os.sched_setaffinity(bench.origin.process.pid, cores)
    try:
        return latency_rounds(bench, scenario)
    finally:
        bench.options.load_core, bench.options.proxy_core = pinned
        os.sched_setaffinity(bench.origin.process.pid, {int(pinned[0])})


def latency_rounds(bench, scenario):
    origin_port, seconds = bench.origin_port(scenario), str(min(0.5, bench.options.seconds))
    extra = ["--seconds", seconds, "--warm", "0.1"]
    running, cannot = bench.start_peers(scenario, origin_port)
    rounds = {name: [] for name in ("direct", *running)}
    wanted = bench.options.rounds + 2
    try:
        for _ in range(wanted):
            rounds["direct"].append(bench.run_load(scenario, str(origin_port), origin_port, extra))
            for name, proxy in running.items():
                proxy.signal(signal.SIGCONT)
                manner = bench.manner(scenario, proxy)
                rounds[name].append(bench.run_load(scenario, proxy.setup.listen, origin_port, extra + manner))
                proxy.signal(signal.SIGSTOP)
    finally:
        stop_all(running.values())
    rows = {name: {"cannot": why} for name, why in cannot.items()}
    for name, results in rounds.items():
        bad = [r for r in results if r["errors"] or not r["requests"]]
        if bad:
            rows[name] = {"errors": len(bad), "error": bad[0].get("error") or "no answer", "figure": None}
            continue
        added = [r["p50_us"] - d["p50_us"] for r, d in zip(results, rounds["direct"])]
        rows[name] = {"errors": 0, "p50_us": statistics.median(r["p50_us"] for r in results),
                      "p99_us": statistics.median(r["p99_us"] for r in results),
                      "figure": statistics.median(added) if name != "direct" else None}
    return {"rounds": wanted, "rows": rows}


def cold(bench, scenario):
    """A process is started and asked as soon as it listens."""
    origin_port = bench.origin_port(scenario)
    sizes = bench.sizes(scenario, origin_port)
    rows = {}
    for name in bench.programs:
        if PEERS[name].only or scenario.name in PEERS[name].lacks:
            continue
        times = []
        while len(times) < 5 and sum(times) < 3000:
            listen = str(free_ports())
            setup = bench.setup(scenario, name, origin_port=origin_port, request_size=sizes["request"], answer_size=sizes["answer"])
            setup.listen = listen
            proxy = PEERS[name](os.path.join(bench.folder, scenario.name, f"{name}-{len(times)}"), setup)
            try:
                times.append(first_byte_ms(proxy, bench.programs[name], bench.options.proxy_core, "/" + scenario.file))
            except OSError as error:
                rows[name] = {"errors": 1, "error": str(error), "figure": None}
                break
            finally:
                stop_all([proxy])
        else:
            rows[name] = {"errors": 0, "figure": statistics.median(times)}
    return {"rounds": 5, "rows": rows}


def first_byte_ms(proxy, program, cores, target):
    whole = request_bytes(proxy, target)
    began = time.monotonic()
    proxy.start(program, cores)
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
