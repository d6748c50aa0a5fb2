"""Thousands of connections in one thread."""
import errno
import os
import select
import socket
import struct
import time

from behaviour.harness.client import request  # noqa: F401  (for the tests)

PATIENCE = 90       # an attack of hundreds may take its turns, e.g. as the places of a pool come free


def source():
    """A loopback address of this process's own: ports of 127.0.0.1 are few."""
    pid = os.getpid()
    return f"127.77.{pid // 250 % 250 + 1}.{pid % 250 + 1}"


def connected(address, receive_buffer=None):
    """A non-blocking socket that connects."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_IP, 24, 1)   # IP_BIND_ADDRESS_NO_PORT
    sock.bind((source(), 0))
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Swarm:
    def __init__(self, address, count, greeting=b"", receive_buffer=None):
        """`count` connections that have each sent `greeting` (bytes, or made from the number)."""
        self.members, self.answers, self.ended = {}, {}, set()
        self.epoll = select.epoll()
        for start in range(0, count, 200):
            self._add(address, range(start, min(start + 200, count)), greeting, receive_buffer)

    def _add(self, address, numbers, greeting, receive_buffer):
        fresh = []
        for number in numbers:
            sock = connected(address, receive_buffer)
            self.members[sock.fileno()] = sock
            self.answers[sock.fileno()] = bytearray()
            fresh.append((sock, greeting(number) if callable(greeting) else greeting))
        for sock, data in fresh:
            if not _writable(sock):
                raise AssertionError(f"a connection was not taken within {PATIENCE} s")
            self.epoll.register(sock, select.EPOLLIN)
            try:
                sock.send(data)
            except OSError:     # closed already: this machine took longer than the attack may
                self._end(sock.fileno())

    def __len__(self):
        return len(self.members) - len(self.ended)

    def send(self, data, most=None):
        """Sends this on every open connection (or the first so many) that takes it."""
        for fd, sock in list(self.members.items())[:most]:
            if fd in self.ended:
                continue
            try:
                sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._end(fd)

    def poll(self, seconds=0.0):
        """Takes in what has come."""
        for fd, _ in self.epoll.poll(seconds, 1000):
            try:
                data = self.members[fd].recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self.answers[fd] += data
            else:
                self._end(fd)

    def _end(self, fd):
        if fd not in self.ended:
            self.ended.add(fd)
            self.epoll.unregister(fd)

    def forget(self, but):
        """Closes all but so many of the open ones."""
        for fd, sock in list(self.members.items()):
            if fd not in self.ended and len(self) > but:
                self._end(fd)
                sock.close()

    def wait_ended(self, patience=PATIENCE):
        end = time.monotonic() + patience
        while len(self) and time.monotonic() < end:
            self.poll(0.05)
        assert not len(self), f"{len(self)} of {len(self.members)} connections are still open after {patience} s"

    def wait_each(self, met, patience=PATIENCE):
        """Waits until what each was answered is as `met` wants it."""
        end = time.monotonic() + patience
        while not all(map(met, self.answers.values())) and time.monotonic() < end:
            self.poll(0.05)
        lacking = sum(not met(got) for got in self.answers.values())
        assert not lacking, f"{lacking} of {len(self.answers)} have not been answered like that after {patience} s"

    def wait_answered(self, patience=PATIENCE):
        """Waits until each has something: for short answers on connections that stay open."""
        self.wait_each(bool, patience)

    def statuses(self):
        """How often each status came first; None: no answer."""
        found = {}
        for answer in self.answers.values():
            status = int(answer[9:12]) if len(answer) > 12 else None
            found[status] = found.get(status, 0) + 1
        return found

    def close(self):
        for sock in self.members.values():
            sock.close()
        self.epoll.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _writable(sock):
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    return bool(poller.poll(PATIENCE * 1000))
