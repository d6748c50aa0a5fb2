"""A relay between Carpool and a real origin that keeps what passed; it changes nothing."""
import socket
import threading

from behaviour.harness.waiting import PATIENCE


class Recorder:
    def __init__(self, port):
        """Relays to 127.0.0.1:`port`."""
        self.target = port
        self.streams = []       # one bytearray a connection: what Carpool sent
        self.sockets = []       # pairs: Carpool's end, the origin's end
        self.relays = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing outlives this: a connection left behind would answer for the next one who listens on this port, and
        the origin would see a request after the test has looked."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        for near, _ in self.sockets:
            shut(near, socket.SHUT_RDWR)    # what came before is still read, and passed on
        for relay in self.relays:
            relay.join(PATIENCE)
            assert not relay.is_alive(), f"the origin on port {self.target} does not end its connection"
        for pair in self.sockets:
            for sock in pair:
                sock.close()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            stream = bytearray()
            self.streams.append(stream)
            self.sockets.append((near, far))
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for args in ((near, far, stream), (far, near, None)):
                self.relays.append(threading.Thread(target=self.relay, args=args, daemon=True))
                self.relays[-1].start()

    @staticmethod
    def relay(source, sink, stream):
        try:
            while got := source.recv(1 << 18):
                if stream is not None:
                    stream += got
                sink.sendall(got)
        except OSError:
            pass
        shut(sink, socket.SHUT_WR)


def shut(sock, how):
    try:
        sock.shutdown(how)
    except OSError:
        pass        # closed already
