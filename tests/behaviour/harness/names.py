"""A name server on a loopback address, and a view of the file system in which the daemon asks it."""

import os
import shutil
import socket
import struct
import subprocess
import threading

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


def can_replace_files():
    """Whether a child may have its own /etc/resolv.conf (root and a mount namespace)."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True,
        check=False).returncode == 0


def without_network():
    """The prefix of a command that has no network at all, or None where that cannot be had."""
    for flags in ("-n", "-rn"):
        if shutil.which("unshare") and subprocess.run(["unshare", flags, "true"], capture_output=True,
                                                      check=False).returncode == 0:
            return ["unshare", flags]
    return None


def with_files(directory, files):
    """The prefix of a command that sees these contents in place of the files of /etc named."""
    script = ""
    for path, text in files.items():
        own = os.path.join(directory, os.path.basename(path))
        with open(own, "w", encoding="ascii") as file:
            file.write(text)
        script += f"mount --bind '{own}' '{path}' && "
    return ["unshare", "-m", "sh", "-c", script + 'exec "$@"', "sh"]


class NameServer:
    """Answers A and AAAA from `names`: {name: [address, ...] or "silent", an RCODE, or a callable giving
    one}."""

    def __init__(self, block, names=None, ttl=60):
        self.names = names or {}
        self.ttl = ttl
        self.queries = []           # (name, type)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for last in range(1, 255):
            self.address = f"127.53.{block % 255}.{last}"
            try:
                self.sock.bind((self.address, 53))
                break
            except OSError as error:
                if last == 254 or error.errno == 13:
                    raise
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def resolv_conf(self):
        return f"nameserver {self.address}\noptions timeout:5 attempts:2\n"

    def asked(self, name):
        return sum(1 for asked, _ in self.queries if asked == name)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _serve(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
                if not data:
                    return
                reply = self._answer(data)
                if reply:
                    self.sock.sendto(reply, peer)
            except OSError:
                return

    def _answer(self, query):
        ident, = struct.unpack_from(">H", query)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind, = struct.unpack_from(">H", query, at + 1)
        name = ".".join(labels).lower()
        self.queries.append((name, kind))
        known = self.names.get(name, NXDOMAIN)
        if callable(known):
            known = known(kind)
        if known == "silent":
            return None
        code = known if isinstance(known, int) else 0
        addresses = [] if code else [each for each in known if (":" in each) == (kind == AAAA)]
        if kind not in (A, AAAA):
            addresses = []
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        records = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, self.ttl, 16 if kind == AAAA else 4)
                           + socket.inet_pton(family, each) for each in addresses)
        return struct.pack(">HHHHHH", ident, 0x8580 | code, 1, len(addresses), 0, 0) + question + records
