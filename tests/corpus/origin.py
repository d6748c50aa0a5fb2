"""The origin of the corpus: answers plainly, or with a case's bytes once, and reads strictly what each connection brings."""
import threading

from behaviour.harness.origin import Origin, answer
from behaviour.harness.waiting import PATIENCE
from behaviour.harness.wire import Reset

from . import strict
from .conversation import NAP

CLEAN = b"the clean answer"
CLEAN_PATH = "/clean"
TLS_HANDSHAKE = 0x16        # an https target; there is no TLS here, and no request in clear is the point


def plain_answer(request, connection):
    whole = answer(CLEAN, fields=[("X-Connection", connection.number)])
    return whole[:-len(CLEAN)] if request.method == "HEAD" else whole


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
            connection.send_pieces(self.pieces, NAP)
            if self.eof:
                connection.fin()
        except (Reset, OSError):
            pass        # Carpool may close in the midst of it
        self.sent.set()
        return True


class Reader:
    """What is read of one connection, request by request."""

    def __init__(self, origin, connection):
        self.origin, self.connection = origin, connection
        self.heads = 0
        self.error = ""

    def serve(self):
        try:
            self.before_any_request()
            while self.exchange():
                pass
        except strict.Malformed as error:
            self.error = f"{error} in {bytes(self.connection.received[:400])!r}"
        self.connection.close()

    def before_any_request(self):
        script = self.origin.script
        if script and script.when == "spare" and self.connection.number > 0 and self.connection.silent(0.15):
            script.play(self.connection)

    def more(self):
        if not self.connection.fill():
            return False
        return self.connection.received[:1] != bytes([TLS_HANDSHAKE])

    def exchange(self):
        """One request and its answer; False when the connection is over."""
        head, size = self.wait_for(strict.request_head)
        if head is None:
            return False
        self.heads += 1
        clean = head.target.startswith(CLEAN_PATH)
        script = None if clean else self.origin.script
        if script and script.when == "early" and script.play(self.connection):
            script.judged.wait(PATIENCE)
        self.continue_if_asked(head, size)
        request, size = self.wait_for(strict.request)
        if request is None:
            return False
        self.connection.exactly(size)
        self.connection.note(request)
        if not (script and script.when == "reply" and script.play(self.connection)):
            self.connection.send(plain_answer(request, self.connection))
        return True

    def wait_for(self, parse):
        while True:
            try:
                return parse(self.connection.left())
            except strict.Incomplete:
                if not self.more():
                    return None, 0

    def continue_if_asked(self, head, size):
        """RFC 9110 10.1.1: the client may hold its body back until it sees a 100."""
        if b"100-continue" in head.tokens("expect") and len(self.connection.left()) <= size and self.connection.silent(0.2):
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def stopped_within_a_request(self):
        return bool(self.connection.left()) and self.connection.received[0] != TLS_HANDSHAKE and not self.error


class CaseOrigin(Origin):
    """Has a port that the kernel chooses: cases need more of them than a block of Ports has."""

    def __init__(self, host="127.0.0.1", script=None, receive_buffer=None):
        self.script = script
        self.readers = []
        super().__init__(serve=self._read, host=host, receive_buffer=receive_buffer)

    def _read(self, connection):
        reader = Reader(self, connection)
        self.readers.append(reader)
        reader.serve()

    def asked(self):
        """All complete requests but the clean ones."""
        return [request for request in self.all_requests() if not request.target.startswith(CLEAN_PATH)]

    def all_requests(self):
        return [request for connection in self.connections for request in connection.requests]

    @property
    def heads(self):
        return sum(reader.heads for reader in self.readers)

    def open_halves(self):
        """Connections that brought a head or a part of one, and not the rest."""
        return [reader.connection for reader in self.readers if reader.stopped_within_a_request()]

    def errors(self):
        return [reader.error for reader in self.readers if reader.error] + self.failures
