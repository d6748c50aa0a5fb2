"""TLS at the origin: what it was offered, what it agreed to, how often it shook hands in full."""

import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

from .certificates import certificates
from .waiting import PATIENCE

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclass
class Hello:
    """A ClientHello as it stood on the wire."""
    server_name: str = None
    protocols: list = field(default_factory=list)   # of ALPN
    tickets: list = field(default_factory=list)     # identities of pre_shared_key (TLS 1.3)
    session_ticket: bytes = b""                     # TLS 1.2
    extensions: list = field(default_factory=list)


def _vector(data, size):
    length = int.from_bytes(data[:size], "big")
    return data[size:size + length], data[size + length:]


def _read_extension(hello, kind, data):
    if kind == 0:
        hello.server_name = _vector(_vector(data, 2)[0][1:], 2)[0].decode()
    elif kind == 16:
        rest = _vector(data, 2)[0]
        while rest:
            name, rest = _vector(rest, 1)
            hello.protocols.append(name.decode())
    elif kind == 35:
        hello.session_ticket = data
    elif kind == 41:
        rest = _vector(data, 2)[0]
        while rest:
            identity, rest = _vector(rest, 2)
            hello.tickets.append(identity)
            rest = rest[4:]


def parse_hello(record):
    """From the first record of a connection (RFC 8446 4.1.2)."""
    hello = Hello()
    rest = record[5 + 4 + 2 + 32:]
    _, rest = _vector(rest, 1)
    _, rest = _vector(rest, 2)
    _, rest = _vector(rest, 1)
    rest, _ = _vector(rest, 2)
    while rest:
        kind = int.from_bytes(rest[:2], "big")
        data, rest = _vector(rest[2:], 2)
        hello.extensions.append(kind)
        _read_extension(hello, kind, data)
    return hello


def _peek_hello(sock):
    head = sock.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL)
    if len(head) < 5 or head[0] != 22:
        return None
    size = 5 + struct.unpack(">H", head[3:])[0]
    return parse_hello(sock.recv(size, socket.MSG_PEEK | socket.MSG_WAITALL))


class TlsSocket:
    """An SSLSocket that behaves like a plain one: no data is BlockingIOError, a bare end is a reset.

    OpenSSL allows one thread at a time to use a connection, and Python lets go of its lock in every call: the test sends
    while the connection's own thread reads, so each takes `_one`. No call blocks with it held."""

    def __init__(self, sock, hello):
        self.tls = sock
        self.hello = hello
        self.version = sock.version()
        self.resumed = sock.session_reused
        self.alpn = sock.selected_alpn_protocol()
        self.cipher = sock.cipher()[0]
        self.client_certificate = sock.getpeercert(True)
        self.family = sock.family
        self._one = threading.Lock()
        sock.setblocking(False)

    def __getattr__(self, name):
        return getattr(self.tls, name)

    def recv(self, size, flags=0):
        if flags:   # looks at the bytes below
            return socket.socket.recv(self.tls, size, flags)
        try:
            with self._one:
                return self.tls.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLEOFError:
            raise ConnectionResetError("ended without close_notify") from None
        except ssl.SSLError as error:
            raise ConnectionResetError(str(error)) from None

    def send(self, data):
        try:
            with self._one:
                return self.tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise ConnectionResetError(str(error)) from None

    def shutdown(self, how):
        """FIN without close_notify."""
        socket.socket.shutdown(self.tls, how)

    def close_notify(self):
        """Says that nothing more comes. The other direction goes on."""
        try:
            with self._one:
                self.tls._sslobj.shutdown()     # pylint: disable=protected-access
        except (ssl.SSLError, OSError):
            pass        # it is said; the answer of the peer is not waited for

    def close(self):
        with self._one:
            self.tls.close()


def server_context(pair=None, versions=(V12, V13), client_ca=None, ask_only=False, tickets=2, ciphers=None,
                   protocols=("http/1.1",)):
    """A context of a server; `client_ca`: clients need a certificate of this one (`ask_only`: or none)."""
    pair = pair or certificates().local
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.minimum_version, context.maximum_version = versions[0], versions[-1]
    context.num_tickets = tickets
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if ciphers:
        context.set_ciphers(ciphers)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL if ask_only else ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca.pem)
    return context


class TlsListener:
    """Wraps what an Origin accepts (its `wrap`) and counts."""

    def __init__(self, context):
        self.context = context
        self.sockets = []       # TlsSocket, of handshakes that were completed
        self.hellos = []        # of all
        self.failures = []      # why handshakes failed

    def __call__(self, sock):
        sock.settimeout(PATIENCE)
        try:
            hello = _peek_hello(sock)
            self.hellos.append(hello)
            made = TlsSocket(self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False), hello)
        except OSError as error:
            self.failures.append(str(error))
            sock.close()
            raise
        self.sockets.append(made)
        return made

    @property
    def full(self):
        return sum(not each.resumed for each in self.sockets)

    @property
    def resumed(self):
        return sum(each.resumed for each in self.sockets)


class RecordSocket:
    """An end of a TLS connection whose records the script makes and sends by itself: the client's, where it has the server's
    name."""

    def __init__(self, sock, context, server_name=None):
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=not server_name,
                                     server_hostname=server_name)
        sock.settimeout(PATIENCE)
        self._go_on(self._tls.do_handshake)

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def _go_on(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._outgoing.read())
                got = self._sock.recv(1)    # what comes behind a record stays where poll() sees it
                if not got:
                    return got
                self._incoming.write(got)
            finally:
                self._sock.sendall(self._outgoing.read())

    def record(self, data):
        self._tls.write(data)
        return self._outgoing.read()

    def recv(self, size, flags=0):
        return self._sock.recv(size, flags) if flags else self._go_on(lambda: self._tls.read(size))


def tls_origin(stage, respond=None, pair=None, context=None, **how):
    """An Origin behind TLS. Its `tls` counts handshakes; words for the context may be among `how`."""
    words = {name: how.pop(name) for name in ("versions", "client_ca", "ask_only", "tickets", "ciphers", "protocols")
             if name in how}
    listener = TlsListener(context or server_context(pair, **words))
    origin = stage.origin(respond, wrap=listener, **how)
    origin.tls = listener
    return origin


def https_key(origin):
    """The name of an origin behind TLS in /agents."""
    return f"https://{origin.authority}"


def secure(tls=None, match="127.0.0.1", name="api", trusted=True, extra=None, **upstream):
    """A configuration with one upstream that speaks TLS and trusts the tests' CA."""
    settings = {"ca": certificates().ca.pem, **(tls or {})} if trusted else tls or True
    return {**(extra or {}), "upstreams": {name: {"match": match, "tls": settings, **upstream}}}
