"""Many short-lived clients at once, from one thread."""

import errno
import itertools
import select
import socket
import threading
import time
from collections import Counter

from .client import request
from .waiting import PATIENCE, wait_until


class _Short:
    """One connection: connect, a request, its response, close."""

    def __init__(self, address, data):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.data = data
        self.got = bytearray()
        code = self.sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "connect")

    def complete(self):
        """The status once the response is whole. Only Content-Length is understood."""
        end = self.got.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.got[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return int(self.got[9:12]) if len(self.got) >= end + 4 + length else None


class Load:
    """The outcome: how many of each status, failures in words, and bodies by request."""

    def __init__(self):
        self.statuses = Counter()
        self.failures = []
        self.bodies = []

    def run(self, address, requests, parallel, keep_bodies=False):
        """Sends each of `requests` (bytes) on a connection of its own, `parallel` at a time."""
        epoll = select.epoll()
        flying, waiting = {}, iter(requests)
        self._fill(epoll, flying, waiting, address, parallel)
        last = time.monotonic()
        while flying:
            ready = epoll.poll(PATIENCE)
            if not ready and time.monotonic() - last > PATIENCE:
                self.failures.append(f"{len(flying)} requests got no answer")
                break
            last = time.monotonic()
            for fd, events in ready:
                if self._turn(epoll, flying[fd], events, keep_bodies):
                    flying.pop(fd).sock.close()
            self._fill(epoll, flying, waiting, address, parallel)
        for short in flying.values():
            short.sock.close()
        epoll.close()
        return self

    def _fill(self, epoll, flying, waiting, address, parallel):
        while len(flying) < parallel:
            data = next(waiting, None)
            if data is None:
                return
            short = _Short(address, data)
            flying[short.sock.fileno()] = short
            epoll.register(short.sock, select.EPOLLOUT)

    def _turn(self, epoll, short, events, keep_bodies):
        """True when this one is over."""
        try:
            if events & select.EPOLLOUT:
                short.data = short.data[short.sock.send(short.data):]
                if not short.data:
                    epoll.modify(short.sock, select.EPOLLIN)
                return False
            data = short.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError as error:
            self.failures.append(str(error))
            return True
        short.got += data
        status = short.complete()
        if status is None and data:
            return False
        if status is None:
            self.failures.append(f"cut after {bytes(short.got[:100])!r}")
        else:
            self.statuses[status] += 1
            if keep_bodies:
                self.bodies.append(bytes(short.got))
        return True


class Busy:
    """Short-lived clients that ask these URLs in turn without a pause, from a thread of their own."""

    def __init__(self, address, urls, parallel=12):
        self.load = Load()
        self._stop = threading.Event()
        asked = itertools.cycle([request("GET", url) for url in urls])
        self._thread = threading.Thread(target=self.load.run, args=(
            address, itertools.takewhile(lambda _: not self._stop.is_set(), asked), parallel))
        self._thread.start()

    def goes_on(self, count=20):
        already = sum(self.load.statuses.values())
        wait_until(lambda: sum(self.load.statuses.values()) > already + count or self.load.failures, "requests are served")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        assert not self.load.failures, self.load.failures[:3]
        assert set(self.load.statuses) == {200}, self.load.statuses
