"""What systemd does for a service, since tests have no pid 1: passing sockets, and hearing what it says."""

import os
import socket
import time

from .waiting import PATIENCE

# Moves the passed descriptors to 3 and up, from high places so that none is overwritten, and execs, so that LISTEN_PID is right.
_PASS = '''
i=3; for fd in $CARPOOL_TEST_FDS; do eval "exec $((i + 100))<&$fd"; i=$((i + 1)); done
n=$i; i=3; while [ $i -lt $n ]; do eval "exec $i<&$((i + 100)) $((i + 100))<&-"; i=$((i + 1)); done
unset CARPOOL_TEST_FDS; export LISTEN_FDS=$((n - 3)) LISTEN_PID=$$; exec "$@"
'''


class Socket:
    """A listening socket that outlives the daemons it is passed to."""

    def __init__(self, address, name=None):
        unix = isinstance(address, str)
        self.name = name
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(address)
        self.sock.listen(1024)
        self.address = address


def passing(*sockets):
    """Arguments for a Daemon that gets these sockets."""
    fds = [s.sock.fileno() for s in sockets]
    env = {"CARPOOL_TEST_FDS": " ".join(map(str, fds))}
    if any(s.name is not None for s in sockets):
        env["LISTEN_FDNAMES"] = ":".join(s.name or "unknown" for s in sockets)
    return {"prefix": ["bash", "-c", _PASS, "bash"], "pass_fds": fds, "env": env, "listen": sockets[0].address}


class Manager:
    """NOTIFY_SOCKET's other end."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.heard = []

    def listen(self, seconds):
        """Hears what is said within so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                self.heard.append(dict(line.partition("=")[::2] for line in self.sock.recv(4096).decode().splitlines()))
            except socket.timeout:
                return

    def wait(self, key, patience=PATIENCE):
        """The next message that has this key; what came before it is forgotten."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            while self.heard:
                message = self.heard.pop(0)
                if key in message:
                    return message
            self.listen(0.05)
        raise AssertionError(f"{key} was not said within {patience:g} s")
