"""One client connection: writes bytes in given pieces while it reads, and takes apart what came."""
import selectors
import socket
import time

from behaviour.harness.waiting import PATIENCE

from . import strict

MODES = ("whole", "bytes", "lines")
MOST_PIECES = 1500
NAP = 0.00005       # lets the other side read a piece before the next one comes


def pieces(data, mode):
    """`data` as it is written: whole, one by one, or cut behind every CR and every LF."""
    if mode == "whole" or not data:
        return [data]
    cuts = range(1, len(data)) if mode == "bytes" else \
        [at + 1 for at in range(len(data) - 1) if data[at] in b"\r\n"]
    # Very long ones are cut finely at both ends, coarsely between.
    if len(cuts) > MOST_PIECES:
        edge = MOST_PIECES // 3
        cuts = [*cuts[:edge], *cuts[edge:-edge:max(1, len(cuts) // edge)], *cuts[-edge:]]
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in zip(bounds, bounds[1:])]


class Conversation:
    """After run(): `answers` (final ones), `error`, `ended` ('', 'fin', 'reset'), `closed_first`, `cut`, `received`."""

    def __init__(self, port, methods=("GET",), source=None):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE,
                                               source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)
        self.methods = methods
        self.received = b""
        self.answers, self.error, self.ended, self.cut, self.closed_first = [], "", "", False, False
        self.parsed = 0

    def write(self, bytes_in_pieces):
        """Writes and reads side by side; stops early when the other side ends the connection or says that it will."""
        for piece in bytes_in_pieces:
            sent = 0
            while sent < len(piece) and not self.ended:
                self.read_what_is_there()
                if self.said_close():
                    return
                try:
                    sent += self.socket.send(piece[sent:])
                except BlockingIOError:
                    if not self.wait_for_room():
                        return
                except OSError:
                    self.read_what_is_there()
                    self.ended = self.ended or "reset"
            if self.ended:
                return
            if len(bytes_in_pieces) > 1:
                time.sleep(NAP)

    def wait_for_room(self):
        """Until more can be written or something came; False when neither is so in time."""
        self.selector.modify(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        ready = self.selector.select(PATIENCE)
        self.selector.modify(self.socket, selectors.EVENT_READ)
        return bool(ready)

    def said_close(self):
        return bool(self.answers) and b"close" in self.answers[-1].tokens("connection")

    def read_what_is_there(self, timeout=0):
        """True when something came, the end included."""
        if self.ended or not self.selector.select(timeout):
            return False
        try:
            got = self.socket.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            self.ended = "reset"
            return True
        if got:
            self.received += got
        else:
            self.ended = "fin"
        self.parse()
        return True

    def parse(self):
        while not self.error and self.parsed < len(self.received):
            method = self.methods[min(len(self.answers), len(self.methods) - 1)]
            try:
                answer, self.parsed = strict.response(self.received, self.parsed, method, self.ended == "fin")
                self.answers.append(answer)
            except strict.Incomplete:
                return
            except strict.Malformed as error:
                self.error = str(error)

    def read_until(self, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not condition() and not self.ended:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.read_what_is_there(left)
        return True

    def shut(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def run(self, bytes_in_pieces, answers=1, half_close=False, closes=False):
        """Sends, waits for so many final answers (and the end, when Carpool `closes`), says FIN, reads to the end."""
        self.write(bytes_in_pieces)
        if half_close:
            self.shut()
        self.read_until(lambda: len(self.answers) >= answers or self.error)
        if half_close or closes or self.said_close():
            self.read_until(lambda: False)
        self.closed_first = bool(self.ended)
        self.finish()
        return self

    def finish(self):
        if not self.ended:
            self.shut()
            self.read_until(lambda: False)
        # What cannot be taken apart to its end was cut.
        self.cut = self.parsed < len(self.received)
        self.close()

    def close(self):
        self.selector.close()
        self.socket.close()


def get(port, url, **more):
    """A plain GET on a connection of its own."""
    host = url.split("/")[2]
    head = f"GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    return Conversation(port, **more).run([head])
