"""A name server on a loopback address, and a view of the file system in which the daemon asks it."""

import os
import shutil
import socket
import struct
import subprocess
import threading

from .waiting import wait_until

A, AAAA = 1, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


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


class Late:
    """An answer that is held back until the test lets it go."""

    def __init__(self, known):
        self.known = known
        self.held = []          # (the socket, the reply, to whom)
        self.may_go = False

    def let_go(self):
        self.may_go = True
        while self.held:
            sock, reply, peer = self.held.pop()
            sock.sendto(reply, peer)


def by_family(a, aaaa):
    """What is known of a name whose families differ."""
    return lambda kind: aaaa if kind == AAAA else a


class Dnsmasq:
    """The real one, on a loopback address."""

    program = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def __init__(self, block, *options):
        self.address = f"127.54.{block % 255}.1"
        self.resolv_conf = f"nameserver {self.address}\n"
        self.process = None
        self.start(*options)

    def start(self, *options):
        self.process = subprocess.Popen(
            [self.program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=53",
             "--bind-interfaces", f"--listen-address={self.address}", "--pid-file=", "--user=root", "--log-facility=-",
             *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "dnsmasq answers")

    def _answers(self):
        assert self.process.poll() is None, "dnsmasq has ended"
        query = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\x04none\x04test\0" + struct.pack(">HH", A, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect((self.address, 53))
            try:
                sock.send(query)
                return sock.recv(512)
            except OSError:
                return False

    def close(self):
        self.process.kill()
        self.process.wait()


class NameServer:
    """Answers A and AAAA from `names`: {name: [address, ...] or "silent", an RCODE, a Late one of these, or a callable
    giving one}."""

    def __init__(self, block, names=None, ttl=60):
        self.names = names or {}
        self.ttl = ttl
        self.queries = []           # (name, type)
        self.search = ""            # of resolv.conf
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
        return f"nameserver {self.address}\noptions timeout:5 attempts:2\n" + (f"search {self.search}\n" if self.search else "")

    def asked(self, name, kind=None):
        return sum(1 for asked, of in self.queries if asked == name and kind in (None, of))

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
                reply, late = self._answer(data)
                if late and not late.may_go:
                    late.held.append((self.sock, reply, peer))
                elif reply:
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
        late = known if isinstance(known, Late) else None
        known = late.known if late else known
        if known == "silent":
            return None, late
        code = known if isinstance(known, int) else 0
        addresses = [] if code else [each for each in known if (":" in each) == (kind == AAAA)]
        if kind not in (A, AAAA):
            addresses = []
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        records = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, self.ttl, 16 if kind == AAAA else 4)
                           + socket.inet_pton(family, each) for each in addresses)
        return struct.pack(">HHHHHH", ident, 0x8580 | code, 1, len(addresses), 0, 0) + question + records, late
