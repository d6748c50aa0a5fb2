"""A network in which packets can be lost without a word: two namespaces of the test's own, joined by a cable.

The test and the daemons that it starts are at the near end; `with network.far():` makes origins at the far end. A
neighbour entry with an address that nobody has swallows what is sent."""

import contextlib
import ctypes
import os
import shutil
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
HERE = "10.81.0.1"
LIBC = ctypes.CDLL(None, use_errno=True)
NOBODY = "02:00:00:00:00:01"


def _here():
    """A descriptor of this thread's namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """Addresses at the far end: 10.81.0.2 and 10.81.0.3."""

    far_addresses = ("10.81.0.2", "10.81.0.3")

    def __init__(self):
        if os.geteuid() or not shutil.which("ip"):
            pytest.skip("needs root and ip for network namespaces of its own")
        self._before = _here()
        self._near, self._far = self._new(), self._new()
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "far", "type", "veth", "peer", "name", "near")
        self._hardware = self._ip("-br", "link", "show", "far").split()[2]
        self._move_to_near("near")
        for address in self.far_addresses:
            self._ip("addr", "add", f"{address}/24", "dev", "far")
        self._ip("link", "set", "far", "up")
        _enter(self._near)
        self._ip("link", "set", "lo", "up")
        self._ip("addr", "add", f"{HERE}/24", "dev", "near")
        self._ip("link", "set", "near", "up")
        for address in self.far_addresses:
            self.mend(address)

    def _new(self):
        if LIBC.unshare(CLONE_NEWNET):
            pytest.skip("no network namespace: " + os.strerror(ctypes.get_errno()))
        return _here()

    def _ip(self, *args, **how):
        done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False, **how)
        if done.returncode:
            self.close()
            pytest.skip(f"ip {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def _move_to_near(self, link):
        """By a process that is there."""
        _enter(self._near)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as there:
            _enter(self._far)
            self._ip("link", "set", link, "netns", str(there.pid))
            there.stdin.close()

    @contextlib.contextmanager
    def far(self):
        _enter(self._far)
        try:
            yield
        finally:
            _enter(self._near)

    def lose(self, address):
        """From now on what is sent to this address is lost."""
        self._ip("neigh", "replace", address, "lladdr", NOBODY, "dev", "near", "nud", "permanent")

    def mend(self, address):
        self._ip("neigh", "replace", address, "lladdr", self._hardware, "dev", "near", "nud", "permanent")

    def close(self):
        _enter(self._before)
        for namespace in (self._before, self._near, self._far):
            os.close(namespace)
