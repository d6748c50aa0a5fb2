"""A relay between Carpool and an origin: it keeps what Carpool sent, and changes nothing until it is told to lose what comes."""

import socket
import threading

from .waiting import PATIENCE


class _Pair:
    """A connection of Carpool's, and the one to the origin that belongs to it."""

    def __init__(self, near, far):
        self.near, self.far = near, far
        self.sent = bytearray()         # what came from Carpool
        self.loses = False
        self._threads = [threading.Thread(target=self._pass, args=args, daemon=True)
                         for args in ((near, far, self.sent), (far, near, None))]
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for thread in self._threads:
            thread.start()

    def _pass(self, source, sink, kept):
        try:
            while got := source.recv(1 << 18):
                if kept is not None:
                    kept += got
                if not self.loses:
                    sink.sendall(got)
        except OSError:
            pass
        if not self.loses:
            _shut(sink, socket.SHUT_WR)

    def close(self):
        _shut(self.near, socket.SHUT_RDWR)      # what came before is still read, and passed on
        if self.loses:
            _shut(self.far, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the origin does not end its connection"
        self.near.close()
        self.far.close()


class Relay:
    def __init__(self, port):
        """Relays to 127.0.0.1:`port`."""
        self._target = port
        self.pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.authority = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing outlives this: a connection left behind would answer for the next one who listens on this port, and
        the origin would see a request after the test has looked."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for pair in self.pairs:
            pair.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.pairs.append(_Pair(near, socket.create_connection(("127.0.0.1", self._target))))

    def swallow(self):
        """From now on nothing passes on the connections that are open, their ends included; new ones pass."""
        for pair in self.pairs:
            pair.loses = True


def _shut(sock, how):
    try:
        sock.shutdown(how)
    except OSError:
        pass        # closed already
