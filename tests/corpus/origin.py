"""A scripted origin: answers plainly, or with a case's bytes once, and remembers what each connection brought."""
import socket
import threading
import time

from behaviour.harness.waiting import PATIENCE

from . import strict
from .conversation import NAP

CLEAN = b"the clean answer"
CLEAN_PATH = "/clean"
TLS_HANDSHAKE = 0x16        # an https target; there is no TLS here, and no request in clear is the point


def plain_answer(request, connection):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CLEAN)}\r\nX-Connection: {connection.number}\r\n\r\n".encode()
    return head if request.method == "HEAD" else head + CLEAN


class Script:
    """The bytes that answer the first request which is no clean one; `when` as in a case's header."""

    def __init__(self, bytes_in_pieces, when="reply", eof=False):
        self.pieces, self.when, self.eof = bytes_in_pieces, when, eof
        self.taken = threading.Lock()
        self.connection = None
        self.sent = threading.Event()
        self.judged = threading.Event()     # early: the client has its answer, the rest may be read

    def play(self, connection):
        """Sends the bytes, once; False when that was done before."""
        if not self.taken.acquire(blocking=False):
            return False
        self.connection = connection
        try:
            for piece in self.pieces:
                connection.socket.sendall(piece)
                if len(self.pieces) > 1:
                    time.sleep(NAP)
            if self.eof:
                connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass        # Carpool may close in the midst of it
        self.sent.set()
        return True


class Connection:
    def __init__(self, origin, sock, number):
        self.origin, self.socket, self.number = origin, sock, number
        self.received = self.unread = b""      # all of it, and what no request has taken yet
        self.requests, self.heads = [], 0
        self.error = ""
        self.closed = threading.Event()     # the proxy ended it

    def serve(self):
        try:
            self.before_any_request()
            while self.exchange():
                pass
        except strict.Malformed as error:
            self.error = f"{error} in {self.received[:400]!r}"
        except OSError:
            self.closed.set()
        finally:
            self.socket.close()

    def before_any_request(self):
        script = self.origin.script
        if script and script.when == "spare" and self.number > 0:
            self.socket.settimeout(0.15)
            try:
                self.more()
            except TimeoutError:
                script.play(self)
            self.socket.settimeout(None)

    def more(self):
        got = self.socket.recv(1 << 18)
        if not got:
            self.closed.set()
            return False
        self.received += got
        self.unread += got
        if self.received[0] == TLS_HANDSHAKE:
            self.unread = b""
            return False
        return True

    def exchange(self):
        """One request and its answer; False when the connection is over."""
        head, at = self.wait_for(lambda: strict.request_head(self.unread))
        if head is None:
            return False
        self.heads += 1
        clean = head.target.startswith(CLEAN_PATH)
        script = None if clean else self.origin.script
        if script and script.when == "early" and script.play(self):
            script.judged.wait(PATIENCE)
        self.continue_if_asked(head, at)
        request, at = self.wait_for(lambda: strict.request(self.unread))
        if request is None:
            return False
        self.unread = self.unread[at:]
        self.requests.append(request)
        if not (script and script.when == "reply" and script.play(self)):
            self.socket.sendall(plain_answer(request, self))
        return True

    def wait_for(self, parse):
        while True:
            try:
                return parse()
            except strict.Incomplete:
                if not self.more():
                    return None, 0

    def continue_if_asked(self, head, at):
        """RFC 9110 10.1.1: the client may hold its body back until it sees a 100."""
        if b"100-continue" not in head.tokens("expect") or len(self.unread) > at:
            return
        self.socket.settimeout(0.2)
        try:
            self.more()
        except TimeoutError:
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.socket.settimeout(None)


class Origin:
    def __init__(self, host="127.0.0.1", script=None, receive_buffer=None):
        self.script = script
        self.connections = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind((host, 0))
        self.listener.listen(64)
        self.host, self.port = self.listener.getsockname()
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        # A connection accepted in the last moment must be ended as well: it would answer for the next origin that the
        # kernel gives this port to.
        self.acceptor.join()
        self.listener.close()
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass        # closed already

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def url(self, path):
        return f"http://{self.address}{path}"

    def requests(self):
        """All complete requests but the clean ones, as (connection, request)."""
        return [(c, r) for c in self.connections for r in c.requests if not r.target.startswith(CLEAN_PATH)]

    def all_requests(self):
        return [r for c in self.connections for r in c.requests]

    def open_halves(self):
        """Connections that brought a head or a part of one, and not the rest."""
        return [c for c in self.connections if c.unread and not c.error]

    def errors(self):
        return [c.error for c in self.connections if c.error]
