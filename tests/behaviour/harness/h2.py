"""An origin that speaks HTTP/2, frame by frame: what a script says goes out as it is, right or wrong.

h2_origin(stage, respond) is a harness.Origin whose connections speak it, by TLS (ALPN) or, with tls=False, by prior
knowledge. `respond(stream)` is called when a request is complete: it answers by the stream's methods, or returns the body of
a 200. A connection that chose HTTP/1.1 is served as ever, by `respond_h1`."""

import contextlib
import struct
import threading

import hpack

from .origin import echo
from .tls import server_context, tls_origin
from .wire import Closed, Fields, Message

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM,
 CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
LAST_STREAM = 2 ** 31 - 1


class Stream(Message):
    """One request, and what is answered."""

    def __init__(self, peer, number, fields):
        super().__init__(version="HTTP/2", fields=Fields(pair for pair in fields if not pair[0].startswith(":")))
        self.peer = peer
        self.connection = peer.connection
        self.number = number
        self.pseudo = dict(pair for pair in fields if pair[0].startswith(":"))
        self.method = self.pseudo.get(":method")
        self.target = self.pseudo.get(":path")
        self.whole = False          # END_STREAM came
        self.reset = None           # the code of the RST_STREAM that came
        self.window = peer.first_window
        self.answered = False
        self.changed = threading.Condition()

    def wait_for(self, what, patience=20):
        """Until what() is true of it, from another thread than its connection's."""
        with self.changed:
            assert self.changed.wait_for(what, patience), f"stream {self.number}: it never came"

    def _note(self):
        with self.changed:
            self.changed.notify_all()

    def head(self, status=200, fields=(), end=False):
        pairs = [(":status", str(status))] if status else []
        self.peer.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), self.number,
                       self.peer.encode(pairs + [(name, str(value)) for name, value in fields]))

    def data(self, data=b"", end=False):
        """All of it, whatever the windows say, in frames of 16 KiB."""
        for at in range(0, max(len(data), 1), 16384):
            part = data[at:at + 16384]
            self.peer.send(DATA, END_STREAM if end and at + 16384 >= len(data) else 0, self.number, part)

    def within_window(self, data, end=True):
        """In another thread, as the peer's windows allow."""
        threading.Thread(target=self._pour, args=(data, end), daemon=True).start()

    def _pour(self, data, end):
        data = memoryview(data)     # the rest of it is not copied for each part
        while data and self.reset is None and not self.connection.gone.is_set():
            with self.changed:
                if not self.changed.wait_for(lambda: self.window > 0 or self.reset is not None, 60):
                    return
            part, data = data[:min(self.window, 16384)], data[min(self.window, 16384):]
            self.window -= len(part)
            try:
                self.data(part, end and not data)
            except Exception:       # the connection has gone
                return

    def end_with(self, fields):
        """Trailers."""
        self.head(None, fields, end=True)

    def rst(self, code):
        self.peer.send(RST_STREAM, 0, self.number, struct.pack(">I", code))

    def answer(self, body=b"ok", status=200, fields=(), length=True):
        fields = [("x-connection", self.connection.number), ("x-target", self.target), *fields]
        if length:
            fields.append(("content-length", len(body)))
        self.head(status, fields, end=not body or self.method == "HEAD")
        if body and self.method != "HEAD":
            self.data(body, end=True)


class Peer:
    """This end of one connection. Its own thread reads; any may send."""

    def __init__(self, connection, script):
        self.connection = connection
        self.origin = connection.origin
        self.script = script
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams = {}
        self.settings = {}          # the client's
        self.frames = []            # (type, flags, stream, payload) of all that came
        self.first_window = 65535
        self.one = threading.Lock()
        self.gathered = None
        connection.h2 = self

    def send(self, kind, flags=0, stream=0, payload=b""):
        self.raw(struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload)

    def raw(self, data):
        if self.gathered is not None:
            self.gathered += data
            return
        with self.one:
            self.connection.send(data)

    @contextlib.contextmanager
    def together(self):
        """What is sent meanwhile leaves in one piece, at its end."""
        self.gathered = b""
        yield
        data, self.gathered = self.gathered, None
        self.raw(data)

    def encode(self, pairs):
        with self.one:
            return self.encoder.encode(pairs, huffman=False)

    def setting(self, **settings):
        names = {"max_concurrent_streams": MAX_CONCURRENT_STREAMS, "initial_window_size": INITIAL_WINDOW_SIZE}
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", names[name], value) for name, value in settings.items()))

    def window(self, stream, more):
        self.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))

    def goaway(self, last, code=NO_ERROR):
        self.send(GOAWAY, 0, 0, struct.pack(">II", last, code))

    def count(self, kind):
        return sum(frame[0] == kind for frame in self.frames)

    # What comes

    def _take(self, size):
        if not self.connection.left() and not self.connection.fill():
            raise Closed()
        return self.connection.exactly(size)

    def live(self):
        if self._take(len(PREFACE)) != PREFACE:
            raise ValueError("no preface")
        self.script.opened(self)
        while True:
            head = self._take(9)
            size = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self._take(size)
            self.frames.append((kind, flags, stream, payload))
            self._came(kind, flags, stream, payload)

    def _came(self, kind, flags, number, payload):
        stream = self.streams.get(number)
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[name] = value
            self.first_window = self.settings.get(INITIAL_WINDOW_SIZE, 65535)
            if self.script.acks:
                self.send(SETTINGS, ACK)
        elif kind == PING and not flags & ACK:
            self.script.pinged(self, payload)
        elif kind == HEADERS:
            assert flags & END_HEADERS, "heads of these tests fit a frame"
            self._head(number, flags, [(str(n), str(v)) for n, v in self.decoder.decode(payload)])
        elif kind == DATA and stream:
            stream.body += payload
            self.script.received(self, number, len(payload))
            if flags & END_STREAM:
                self._ended(stream)
        elif kind == WINDOW_UPDATE and stream:
            stream.window += struct.unpack(">I", payload)[0]
        elif kind == RST_STREAM and stream:
            stream.reset = struct.unpack(">I", payload)[0]
        if stream:
            stream._note()

    def _head(self, number, flags, fields):
        stream = self.streams.get(number)
        if stream:
            stream.trailers = Fields(fields)
        else:
            stream = self.streams[number] = Stream(self, number, fields)
            self.connection.requests.append(stream)
            self.script.began(stream)
        if flags & END_STREAM:
            self._ended(stream)

    def _ended(self, stream):
        stream.whole = True
        self.origin.arrived(stream)
        stream._note()
        self.script.respond(stream)


class Script:
    """What an origin does; a test replaces what it wants otherwise. `settings`: what it says first."""

    def __init__(self, respond=None, began=None, opened=None, pings=True, acks=True, **settings):
        self._respond, self._began, self._opened = respond, began, opened
        self.pings = pings
        self.acks = acks
        self.settings = settings

    def opened(self, peer):
        if self._opened:
            self._opened(peer)
        else:
            peer.setting(**self.settings)

    def began(self, stream):
        if self._began:
            self._began(stream)

    def respond(self, stream):
        body = self._respond(stream) if self._respond else stream.answer(stream.body or b"ok")
        if body is not None:
            stream.answer(body)

    def received(self, peer, number, size):
        """Gives the windows back."""
        if size:
            peer.window(0, size)
            peer.window(number, size)

    def pinged(self, peer, payload):
        if self.pings:
            peer.send(PING, ACK, 0, payload)


def h2_origin(stage, respond=None, tls=True, protocols=("h2", "http/1.1"), respond_h1=None, script=None, where=None, **words):
    """`words`: those of Script; `where`: host and port of a plain one. Its `peers` are its connections that speak HTTP/2."""
    script = script or Script(respond, **words)
    peers = []

    def serve(connection):
        if tls and connection.sock.alpn != "h2":
            origin._serve(connection)   # pylint: disable=protected-access
            return
        peer = Peer(connection, script)
        peers.append(peer)
        peer.live()

    if tls:
        origin = tls_origin(stage, respond_h1 or echo, context=server_context(protocols=protocols), serve=serve)
    else:
        origin = stage.origin(respond_h1 or echo, serve=serve, **(where or {}))
    origin.peers = peers
    origin.script = script
    return origin
