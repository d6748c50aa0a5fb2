"""Port numbers that no other test run on this machine uses, below the ephemeral range."""

import os
import socket

FIRST = 10240
BLOCK = 128


def _ephemeral_start():
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            return int(file.read().split()[0])
    except OSError:
        return 32768


class Ports:
    """A block of ports, claimed by listening on its first one for as long as this process lives."""

    def __init__(self):
        end = _ephemeral_start()
        blocks = max((end - FIRST) // BLOCK, 64)
        for step in range(blocks):
            self.block = (os.getpid() + step) % blocks
            self._first = FIRST + self.block * BLOCK
            self._anchor = socket.socket()
            try:
                self._anchor.bind(("127.0.0.1", self._first))
                self._anchor.listen(1)
                break
            except OSError:
                self._anchor.close()
        else:
            raise RuntimeError("no free block of ports")
        self._next = 0
        self._kept = []

    def take(self):
        """A port that nothing listens on now. It comes round again only after the rest of the block."""
        for _ in range(BLOCK):
            port = self._first + 1 + self._next
            self._next = (self._next + 1) % (BLOCK - 1)
            if _is_free(port):
                return port
        raise RuntimeError("every port of the block is taken")

    def refused(self):
        """A port that refuses connections for as long as the returned socket lives."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.take()))
        return sock


def _is_free(port):
    for family, host in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
                sock.listen(1)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in (97, 99):
                continue
            return False
    return True
