"""Clients that other users or other cgroups own: a process of theirs makes the connection and hands it over. Whose a
connection is was decided when its socket was made, so the test may then use it as its own."""

import os
import pwd
import shutil
import socket
import subprocess
import sys

import pytest

from .client import Client
from .waiting import PATIENCE, wait_until
from .wire import Wire

NAMED = [entry for entry in pwd.getpwall() if 0 < entry.pw_uid < 60000][:3]
NAMELESS = 54321
"""A user that no database knows."""

_CONNECT = """
import socket, sys
ours = socket.socket(fileno=int(sys.argv[1]))
while True:
    where = ours.recv(300).decode()
    if not where:
        break
    family = socket.AF_UNIX if where[0] == "/" else socket.AF_INET6 if ":" in where else socket.AF_INET
    made = socket.socket(family)
    host, _, port = where.partition(" ")
    made.connect(where if where[0] == "/" else (host, int(port)))
    socket.send_fds(ours, [b"."], [made.fileno()])
    made.close()
"""


class _Owned(Client):
    """A client whose socket somebody else has made."""

    def __init__(self, sock):       # pylint: disable=super-init-not-called
        sock.settimeout(PATIENCE)
        Wire.__init__(self, sock, PATIENCE)
        self._methods = []


class Somebody:
    """A process of another user, and in another cgroup where one is given, that connects."""

    def __init__(self, uid=0, cgroup=None):
        self._sock, theirs = socket.socketpair()
        as_user = ["setpriv", "--reuid", str(uid), "--regid", "65534", "--clear-groups"] if uid else []
        python = [sys.executable, "-c", _CONNECT, str(theirs.fileno())]
        self._process = subprocess.Popen(as_user + python, cwd="/", pass_fds=[theirs.fileno()])
        theirs.close()
        if cgroup:
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(self._process.pid))

    def client(self, address):
        self._sock.send((address if isinstance(address, str) else f"{address[0]} {address[1]}").encode())
        _, descriptors, _, _ = socket.recv_fds(self._sock, 1, 1)
        return _Owned(socket.socket(fileno=descriptors[0]))

    def leave(self):
        self._sock.close()
        self._process.wait()


def need_users():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv for clients of other users")
    probe = ["setpriv", "--reuid", str(NAMELESS), "--regid", "65534", "--clear-groups", sys.executable, "-c", ""]
    if len(NAMED) < 3 or subprocess.run(probe, cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("needs users who may run Python")


class Cgroup:
    """A cgroup of cgroup v2 of the test's own, made of these names."""

    def __init__(self, *names):
        self._made = []
        with open("/proc/mounts", encoding="utf-8") as file:
            mounts = [line.split() for line in file]
        roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
        if not roots:
            pytest.skip("no cgroup v2 here")
        self.path = roots[0]
        for name in names:
            self.path = os.path.join(self.path, name)
            try:
                os.mkdir(self.path)
            except OSError as error:
                self.remove()
                pytest.skip(f"no cgroup can be made here: {error}")
            self._made.append(self.path)

    def remove(self):
        for path in reversed(self._made):
            wait_until(lambda path=path: self._gone(path), f"{path} is empty")
        self._made = []

    @staticmethod
    def _gone(path):
        try:
            os.rmdir(path)
            return True
        except FileNotFoundError:
            return True
        except OSError:
            return False
