"""A scripted origin server: it does what a test tells it and records all it sees.

Each connection runs the script in a thread of its own. Three ways to say what happens:
- respond(request) -> bytes: called for each request, its bytes are sent (None: the script has sent them);
- serve(connection): the whole life of a connection, for what is not request by request;
- manual=True: each request waits until the test takes it by take() and answers by reply().
"""

import fcntl
import os
import queue
import select
import socket
import struct
import sys
import termios
import threading
import time
import traceback

from .waiting import PATIENCE, wait_until
from .wire import Closed, Reset, Truncated, Wire

READ = select.POLLIN | select.POLLRDHUP


def answer(body=b"ok", status="200 OK", fields=(), length=True, version="1.1"):
    """The bytes of a response, framed by Content-Length unless length is false."""
    lines = [f"HTTP/{version} {status}"] + [f"{name}: {value}" for name, value in fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def echo(request):
    """Says which connection and which request of it this was, and sends the body back."""
    connection = request.connection
    body = request.body or b"ok"
    head = answer(body, fields=[("X-Connection", connection.number), ("X-Target", request.target)])
    return head[:-len(body)] if request.method == "HEAD" else head


class _Over(Exception):
    """The test closed this connection."""


class Connection(Wire):
    """The origin's end of one connection. Its own thread reads; the test may send and close."""

    def __init__(self, origin, sock, number, peer):
        super().__init__(sock, patience=60)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.origin = origin
        self.number = number
        self.peer = peer
        self.requests = []
        self.ended = None           # how the peer ended it: fin | reset
        self.ended_at = None
        self.opened_at = time.monotonic()
        self.gone = threading.Event()
        self._order = None          # what the test wants done: close | reset
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)     # of its thread, and -1 when that has ended
        self._waking = threading.Lock()
        self.thread = threading.Thread(target=self._live, daemon=True)

    @property
    def is_open(self):
        """Neither end has closed it, as far as the kernel knows now."""
        if self.ended or self.gone.is_set():
            return False
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def unsent(self):
        """Bytes that the peer's kernel has not acknowledged."""
        return int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    @property
    def truncated(self):
        """The peer ended it inside a request."""
        return bool(self.ended and self.requests and not self.requests[-1].whole)

    # For scripts and tests

    def send(self, *pieces):
        for piece in pieces:
            view = memoryview(piece)
            while view:
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    self._await(select.POLLOUT)
                except OSError as error:
                    self._end("reset")
                    raise Reset(str(error)) from None

    def send_some(self, data):
        """Sends what the peer takes at once; how much that was."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def fin(self):
        """Half-closes: this end has said all, the peer may go on."""
        self.origin.log("fin", self)
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        """Closes in order (the kernel resets if bytes are unread)."""
        self._leave("close")

    def reset(self):
        """Closes with a reset."""
        self._leave("reset")

    def read_request(self):
        """The next request, whole, recorded."""
        request = self.read_request_head()
        self.note(request)
        self.read_body(request)
        request.whole = True
        self.origin.arrived(request)
        return request

    def note(self, request):
        """Records a request of which only the head has come."""
        request.connection = self
        self.requests.append(request)
        self.origin.log("request", self, f"{request.method} {request.target}")

    def reply(self, body=b"ok", status="200 OK", fields=(), **how):
        """Answers the oldest request that waits (manual origins)."""
        self.reply_raw(answer(body, status, fields, **how))

    def reply_raw(self, data):
        self.send(data)
        self.finish()

    def silent(self, seconds):
        """Waits that long; whether nothing came, the end of the connection included."""
        poller = select.poll()
        poller.register(self.sock, READ)
        return not poller.poll(seconds * 1000)

    def finish(self):
        """The answer to the waiting request is complete: go on to the next one."""
        for request in self.requests:
            if not request.answered:
                request.answered = True
                break
        self._nudge()

    def wait_ended(self, how=None, patience=PATIENCE):
        """Waits until the peer has closed; how it did."""
        wait_until(lambda: self.ended, lambda: f"connection {self.number} is closed by Carpool", patience)
        if how and self.ended != how:
            raise AssertionError(f"connection {self.number} ended by {self.ended}, not {how}")
        return self.ended

    # The thread

    def fill(self):
        self._await(READ)
        try:
            more = super().fill()
        except BlockingIOError:
            return True
        except Reset:
            self._end("reset")
            raise
        if not more:
            self._end("fin")
        return more

    def _end(self, how):
        if not self.ended:
            self.ended_at = time.monotonic()
            self.ended = how
            self.origin.log("ended", self, how)

    def _await(self, events):
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if events:
            poller.register(self.sock, events)
        for fd, _ in poller.poll(self.patience * 1000):
            if fd == self._wake:
                os.eventfd_read(self._wake)
        if self._order:
            raise _Over

    def _nudge(self):
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def _sleep_no_more(self):
        with self._waking:
            os.close(self._wake)
            self._wake = -1

    def _leave(self, how):
        self._order = self._order or how
        if threading.current_thread() is self.thread:
            raise _Over
        self._nudge()
        if not self.gone.wait(PATIENCE):
            raise AssertionError(f"the script of connection {self.number} does not let go of it")

    def hold(self, request):
        """Waits until the test has answered, and goes on watching the peer meanwhile."""
        while not request.answered:
            if self.ended:
                self._await(0)
            else:
                self.fill()

    def _live(self):
        try:
            self.origin.serve(self)
            while self.fill():
                pass
        except (Closed, Reset, Truncated, _Over):
            pass
        except Exception:  # whatever it is, the test must see it
            self.origin.failures.append(traceback.format_exc())
        finally:
            if self._order == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self._sleep_no_more()
            self.origin.log("gone", self)
            self.gone.set()


class Origin:
    """A listening server and the record of its connections. Without `ports` the kernel chooses its port."""

    def __init__(self, ports=None, respond=None, serve=None, manual=False, host="127.0.0.1", port=None, path=None,
                 backlog=512, wrap=None, receive_buffer=None):
        self.connections = []
        self._living = []           # those whose thread has not ended
        self.requests = []
        self.events = []            # (what, connection's number, detail) in the order of time
        self.failures = []          # of scripts, and requests that were malformed
        self.max_open = 0
        self.respond = respond or echo
        self.wrap = wrap             # what makes another socket of an accepted one, e.g. TLS
        self.serve = serve or (self._serve_by_hand if manual else self._serve)
        self._inbox = queue.Queue()
        self._accepting = threading.Event()
        self._accepting.set()
        self._parked = threading.Event()    # the accepting thread has seen that it must not
        self._fillers = []
        self._lock = threading.Lock()
        self.path = path
        self.host = host
        self.port = None if path else port or (ports.take() if ports else 0)
        self._backlog = backlog
        self._receive_buffer = receive_buffer
        self.listen()

    # Listening

    def listen(self):
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
        else:
            self._listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._receive_buffer:
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            self._listener.bind((self.host, self.port))
            self.port = self._listener.getsockname()[1]
        self._listener.listen(self._backlog)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def stop_listening(self):
        """From now on connections are refused; open ones stay."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)   # wakes the thread in accept
        except OSError:
            pass
        self._listener.close()

    def stall(self):
        """From now on nobody can connect: attempts hang, as with a host that drops packets. Open ones stay.

        The queue of the listener is filled by connections of our own; needs backlog=0."""
        self._parked.clear()
        self._accepting.clear()
        with socket.socket() as nudge:      # the thread may sit in accept, or be about to
            nudge.connect((self.host, self.port))
            assert self._parked.wait(PATIENCE), "the accepting thread does not pause"
        while True:
            filler = socket.socket()
            self._fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect((self.host, self.port))
            except TimeoutError:
                return

    def resume(self):
        """Ends a stall. The kernel repeats what was attempted meanwhile only after a second or more."""
        for filler in self._fillers:
            filler.close()
        self._accepting.set()

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
                if not self._accepting.is_set():
                    sock.close()
                    self._parked.set()
                    self._accepting.wait()
                    continue
                if sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                    sock.close()            # a filler's
                    continue
            except BlockingIOError:
                pass
            except ConnectionError:
                pass
            except OSError:
                return
            if self.wrap:               # a handshake that takes its time holds up no other connection
                threading.Thread(target=self._wrap, args=(sock, peer), daemon=True).start()
            else:
                self._open(sock, peer)

    def _wrap(self, sock, peer):
        try:
            self._open(self.wrap(sock), peer)
        except OSError:
            pass

    def _open(self, sock, peer):
        with self._lock:
            connection = Connection(self, sock, len(self.connections), peer)
            self.connections.append(connection)
            self._living = [each for each in self._living if not each.gone.is_set()] + [connection]
            self.max_open = max(self.max_open, sum(each.is_open for each in self._living))
        self.log("open", connection)
        connection.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.resume()
        self.stop_listening()
        self._acceptor.join(PATIENCE)   # what it accepted in the last moment is closed as well
        for connection in list(self.connections):
            if not connection.gone.is_set():
                try:
                    connection.close()
                except AssertionError:
                    connection.sock.shutdown(socket.SHUT_RDWR)
            connection.thread.join(PATIENCE)

    def close_connections(self, how="close"):
        for connection in list(self.connections):
            if not connection.gone.is_set():
                getattr(connection, how)()

    # Scripts

    def _serve(self, connection):
        while True:
            request = connection.read_request()
            data = self.respond(request)
            request.answered = True
            if data is not None:
                connection.send(data)

    def _serve_by_hand(self, connection):
        while True:
            request = connection.read_request()
            self._inbox.put(request)
            connection.hold(request)

    # What was seen

    def log(self, what, connection, detail=""):
        self.events.append((what, connection.number, detail))

    def arrived(self, request):
        self.requests.append(request)

    def take(self, patience=PATIENCE):
        """The next request of a manual origin, whole."""
        try:
            return self._inbox.get(timeout=patience)
        except queue.Empty:
            raise AssertionError(f"no request came; seen: {self.events[-20:]}; {self.failures}") from None

    def idle(self):
        """Whether a manual origin has no untaken request."""
        return self._inbox.empty()

    @property
    def accepted(self):
        return len(self.connections)

    @property
    def open(self):
        return sum(connection.is_open for connection in list(self.connections))

    @property
    def targets(self):
        return [request.target for request in self.requests]

    def wait_accepted(self, count):
        wait_until(lambda: self.accepted >= count, lambda: f"{count} connections (now {self.accepted})")

    def wait_open(self, count):
        wait_until(lambda: self.open == count, lambda: f"{count} open connections (now {self.open})")

    def wait_requests(self, count):
        wait_until(lambda: len(self.requests) >= count, lambda: f"{count} requests (now {self.targets})")

    # Names

    @property
    def authority(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path="/"):
        return f"http://{self.authority}{path}"

    @property
    def key(self):
        """The name of this origin in /agents."""
        return f"http://{self.authority}"


class Origins:
    """Makes origins where there is no stage of a test, as the `stage` of tls_origin() and h2_origin()."""

    @staticmethod
    def origin(respond=None, **how):
        return Origin(None, respond, **how)
