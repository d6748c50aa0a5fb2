"""An ordinary client with an origin of its own, both in processes of their own, so that what an attack costs this process
is not taken for what it costs Carpool. Run as a program it is that client."""
import json
import os
import select
import socket
import subprocess
import sys
import time

ROUNDS_PAUSE = 0.002
SLACK = float(os.environ.get("HOSTILE_SLACK", "0.2"))
"""Seconds that the scheduler of a busy machine may add to the 99th percentile; 0 on an idle one of four cores or more."""
PATIENCE = 60
TRIES = 3       # a neighbour's burst passes; what an attack does to Carpool lasts as long as the attack


class Ordinary:
    def __init__(self, carpool):
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, carpool.address)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.slack = SLACK * (4 if carpool.sanitized else 1)
        self.measure(0.2)
        self.quiet = self.measure(0.8)

    def begin(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def done(self):
        poller = select.poll()
        poller.register(self.process.stdout, select.POLLIN)
        return bool(poller.poll(0))

    def end(self):
        return json.loads(self.process.stdout.readline())

    def measure(self, seconds):
        self.begin(seconds)
        return self.end()

    def goes_on(self, step=None, seconds=1.5):
        """Measures again, with step() called all the while, and asserts that all was answered, rightly and in time.

        How slow this machine is meanwhile, whoever makes it so, is what the same requests take without Carpool."""
        for _ in range(TRIES):
            self.begin(seconds)
            while not self.done():
                if step:
                    step()
                else:
                    time.sleep(0.01)
            busy = self.end()
            print(f"ordinary client: quiet {self.quiet}, attacked {busy}")
            assert not busy["wrong"], busy["wrong"][:3]
            limit = 2 * max(self.quiet["p99"], busy["direct"]) + self.slack
            if busy["p99"] <= limit:
                return busy
        raise AssertionError(f"p99 {busy['p99']:.3f} s is over {limit:.3f} s, {TRIES} times; quiet {self.quiet}, attacked {busy}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(2 * PATIENCE)
        self.process.stdout.close()


def _serve(listener):
    """Answers each request with its target. Nothing but bodiless requests comes here."""
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections, buffers = {}, {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                connections[sock.fileno()], buffers[sock.fileno()] = sock, b""
                epoll.register(sock, select.EPOLLIN)
                continue
            try:
                data = connections[fd].recv(65536)
            except OSError:
                data = b""
            if not data:
                connections.pop(fd).close()
                continue
            buffers[fd] += data
            while b"\r\n\r\n" in buffers[fd]:
                head, _, buffers[fd] = buffers[fd].partition(b"\r\n\r\n")
                target = head.split(b" ", 2)[1]
                connections[fd].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))


def _ask(address, target, path):
    with socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(f"GET {target}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        if not target:
            sock.shutdown(socket.SHUT_WR)   # what the origin here closes by
        got = b""
        while piece := sock.recv(65536):
            got += piece
    return got


def _measure(address, target, seconds, serial):
    times, direct, wrong = [], [], []
    own = (target.rpartition("/")[2].partition(":")[0], int(target.rpartition(":")[2]))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        serial += 1
        path = f"/{os.getpid()}-{serial}"
        start = time.monotonic()
        try:
            got = _ask(address, target, path)
            if not got.startswith(b"HTTP/1.1 200 ") or not got.endswith(b"\r\n\r\n" + path.encode()):
                wrong.append(repr(got[:300]))
        except OSError as error:
            wrong.append(f"{error!r} after {time.monotonic() - start:.3f} s")
        times.append(time.monotonic() - start)
        start = time.monotonic()
        _ask(own, "", path)
        direct.append(time.monotonic() - start)
        time.sleep(ROUNDS_PAUSE)
    print(json.dumps({"count": len(times), "p50": _percentile(times, 50), "p99": _percentile(times, 99),
                      "max": _percentile(times, 100), "direct": _percentile(direct, 99), "wrong": wrong[:10]}), flush=True)
    return serial


def _percentile(times, percent):
    return round(sorted(times)[min(len(times) - 1, len(times) * percent // 100)], 5)


def main():
    address = (sys.argv[1], int(sys.argv[2]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    target = f"http://127.0.0.1:{listener.getsockname()[1]}"
    child = os.fork()
    if child == 0:
        _serve(listener)
    listener.close()
    serial = 0
    try:
        for line in sys.stdin:
            serial = _measure(address, target, float(line), serial)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
