"""A relay between Carpool and a real origin that keeps what passed; it changes nothing."""
import socket
import threading


class Recorder:
    def __init__(self, port):
        """Relays to 127.0.0.1:`port`."""
        self.target = port
        self.streams = []       # one bytearray a connection: what Carpool sent
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            shut(sock, socket.SHUT_RDWR)

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            stream = bytearray()
            self.streams.append(stream)
            self.sockets += [near, far]
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.relay, args=(near, far, stream), daemon=True).start()
            threading.Thread(target=self.relay, args=(far, near, None), daemon=True).start()

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
