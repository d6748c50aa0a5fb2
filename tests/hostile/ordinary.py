"""An ordinary client of two daemons, one under attack and one that nobody else knows, with an origin of its own, both in
processes of their own. It asks them in turn, so that whatever else the machine does, the attack's own cost included, meets
both; what is left is what the attack does to the daemon. Run as a program it is that client."""
import json
import os
import select
import socket
import subprocess
import sys
import time

ROUNDS_PAUSE = 0.001
ATTEMPTS = 3
SLACK = float(os.environ.get("HOSTILE_SLACK", "0.005"))
"""Seconds by which a 99th percentile may be over twice the other one: a turn of the loop in which the attack is served."""
PATIENCE = 60


def waited(pid):
    """Seconds that a process's threads were ready to run, and the machine was at something else. Where the kernel does not
    count them, a fifth of all time."""
    if not os.path.exists("/proc/self/schedstat"):
        return time.monotonic() / 5
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[1])
        except FileNotFoundError:
            pass
    return total / 1e9


class Ordinary:
    def __init__(self, attacked, control):
        self.attacked, self.control = attacked, control
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, attacked.address + control.address)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.slack = SLACK * (5 if attacked.sanitized else 1)
        self.measure(0.1)

    def begin(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def done(self, seconds=0):
        """Whether it has been, or is within so many seconds."""
        poller = select.poll()
        poller.register(self.process.stdout, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def end(self):
        return json.loads(self.process.stdout.readline())

    def measure(self, seconds, step=None):
        """Measures, with step() called all the while: the figures, with all that was answered rightly."""
        before, began = waited(self.attacked.pid), time.monotonic()
        self.begin(seconds)
        while not self.done(0 if step else PATIENCE):
            if step:
                step()
        figures = self.end()
        # However few the waits were, none was longer than all of them in a second.
        figures["waited"] = round((waited(self.attacked.pid) - before) / max(1, time.monotonic() - began), 4)
        figures["limit"] = round(2 * figures["control"]["p99"] + self.slack + figures["waited"], 4)
        assert not figures["wrong"], figures["wrong"][:3]
        return figures

    def goes_on(self, step=None, seconds=1):
        """Asserts that everything was answered, and in time: the 99th percentile is within twice that of the daemon that is
        left alone, in the best of some attempts."""
        attempts = []
        for _ in range(ATTEMPTS):
            figures = self.measure(seconds, step)
            print(f"ordinary client: {figures}")
            attempts.append(figures)
            if figures["attacked"]["p99"] <= figures["limit"]:
                return
        raise AssertionError(f"the 99th percentile is over twice that of a daemon without the attack: {attempts}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(2 * PATIENCE)
        self.process.stdout.close()


class QuickOrigin:
    """Answers each request with its target, from a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
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
        got = b""
        while piece := sock.recv(65536):
            got += piece
    return got


def _figures(times):
    times.sort()
    return {"count": len(times), "p50": round(times[len(times) // 2], 5),
            "p99": round(times[min(len(times) - 1, len(times) * 99 // 100)], 5), "max": round(times[-1], 5)}


def _measure(addresses, target, seconds, serial):
    times, wrong = ([], []), []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times[0]) < 20:
        serial += 1
        for which in (0, 1) if serial % 2 else (1, 0):
            path = f"/{os.getpid()}-{serial}-{which}"
            start = time.monotonic()
            try:
                got = _ask(addresses[which], target, path)
                if not got.startswith(b"HTTP/1.1 200 ") or not got.endswith(b"\r\n\r\n" + path.encode()):
                    wrong.append(repr(got[:300]))
            except OSError as error:
                wrong.append(f"{error!r} after {time.monotonic() - start:.3f} s")
            times[which].append(time.monotonic() - start)
        time.sleep(ROUNDS_PAUSE)
    print(json.dumps({"attacked": _figures(times[0]), "control": _figures(times[1]), "wrong": wrong[:10]}), flush=True)
    return serial


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    if sys.argv[1] == "serve":
        print(port, flush=True)
        _serve(listener)
    addresses = [(host, int(number)) for host, number in zip(sys.argv[1::2], sys.argv[2::2])]
    child = os.fork()
    if child == 0:
        _serve(listener)
    listener.close()
    serial = 0
    try:
        for line in sys.stdin:
            serial = _measure(addresses, f"http://127.0.0.1:{port}", float(line), serial)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
