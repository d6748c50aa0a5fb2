"""Origins and very many clients in one thread, so that an origin knows at each moment what is open."""

import select
import socket
from collections import Counter

from .origin import answer
from .waiting import PATIENCE

RESPONSE = answer(b"ok")


class _Upstream:
    """One connection of Carpool's to an origin. Answers each request that has no body."""

    def __init__(self, sock, origin):
        self.sock = sock
        self.origin = origin
        self.host = None
        self.got = b""
        self.events = select.EPOLLIN

    @property
    def is_open(self):
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def turn(self, _):
        """False when it is over."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        *heads, self.got = (self.got + data).split(b"\r\n\r\n")
        for head in heads:
            self.origin.asked(self, head)
            self.sock.send(RESPONSE)
        return bool(data)


class Counting:
    """An origin that counts. `most` is how many sockets were open at a time, `most_of` the same by Host."""

    def __init__(self, port):
        self.accepted = self.most = self.requests = 0
        self.most_of = Counter()
        self.upstreams = []
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(512)
        self.sock.setblocking(False)
        self.authority = f"127.0.0.1:{port}"
        self.key = f"http://{self.authority}"
        self.arena = None

    def turn(self, _):
        try:
            sock, _ = self.sock.accept()
        except BlockingIOError:
            return True
        sock.setblocking(False)
        upstream = _Upstream(sock, self)
        self.accepted += 1
        self.upstreams.append(upstream)
        self.most = max(self.most, sum(each.is_open for each in self.upstreams))
        self.arena.watch(upstream)
        return True

    def asked(self, upstream, head):
        self.requests += 1
        if upstream.host is None:
            upstream.host = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"host:"))
            self.most_of[upstream.host] = max(self.most_of[upstream.host], sum(
                each.is_open for each in self.upstreams if each.host == upstream.host))

    def forget(self, upstream):
        self.upstreams.remove(upstream)


class _Client:
    """Connects, asks once, reads the answer, goes."""

    def __init__(self, address, data):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(address)
        self.data = data
        self.got = b""
        self.events = select.EPOLLOUT

    def turn(self, events):
        try:
            if events & select.EPOLLOUT:
                self.data = self.data[self.sock.send(self.data):]
                self.events = select.EPOLLOUT if self.data else select.EPOLLIN
                return True
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.got += data
        head, _, body = self.got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        return bool(data) and not (self.got and len(body) >= length > 0)

    @property
    def outcome(self):
        return int(self.got[9:12]) if self.got else "cut"


class Arena:
    def __init__(self):
        self.epoll = select.epoll()
        self.members = {}
        self.outcomes = Counter()   # of clients: a status, or "cut"

    def origin(self, port):
        origin = Counting(port)
        origin.arena = self
        origin.events = select.EPOLLIN
        self.watch(origin)
        return origin

    def watch(self, member):
        self.members[member.sock.fileno()] = member
        self.epoll.register(member.sock, member.events)

    def crowd(self, address, requests):
        """All of them at once, each on a connection of its own, until every one is over."""
        clients = 0
        for data in requests:
            self.watch(_Client(address, data))
            clients += 1
        while clients:
            ready = self.epoll.poll(PATIENCE)
            assert ready, f"{clients} clients wait for nothing: {self.outcomes}"
            clients -= sum(self._turn(fd, events) for fd, events in ready)
        return self

    def _turn(self, fd, events):
        """True when a client is over."""
        member = self.members[fd]
        before = member.events
        if member.turn(events):
            if member.events != before:
                self.epoll.modify(fd, member.events)
            return False
        del self.members[fd]
        member.sock.close()
        if isinstance(member, _Upstream):
            member.origin.forget(member)
            return False
        self.outcomes[member.outcome] += 1
        return True

    def close(self):
        for member in self.members.values():
            member.sock.close()
        self.epoll.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
