"""Parent proxies: one that does what a test tells it, and real ones."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading

from .origin import echo
from .waiting import wait_until

USER, PASSWORD = "user", "p@ss:word"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _copy(upstream, connection):
    try:
        while data := upstream.recv(65536):
            connection.send(data)
        connection.fin()
    except OSError:
        pass


def tunnel(connection, host, port, established=ESTABLISHED):
    """Carries bytes both ways until the client has closed."""
    with socket.create_connection((host, port)) as upstream:
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(established)
        back = threading.Thread(target=_copy, args=(upstream, connection), daemon=True)
        back.start()
        if early := connection.left():
            upstream.sendall(connection.exactly(len(early)))
        try:
            while connection.fill():
                upstream.sendall(connection.exactly(len(connection.left())))
            upstream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass                    # it has closed before
        back.join()


def scripted(stage, connect=None, respond=echo, **how):
    """An origin that is a parent proxy. CONNECT leads to 127.0.0.1, whatever the host, or does connect(request); what else
    is asked is answered as by an origin."""
    def serve(asked):
        if asked.method != "CONNECT":
            return respond(asked)
        if connect:
            return connect(asked)
        tunnel(asked.connection, "127.0.0.1", int(asked.target.rpartition(":")[2]))
        return None
    return stage.origin(serve, **how)


def connects(parent):
    return [asked.target for asked in parent.requests if asked.method == "CONNECT"]


class _Child:
    """A real one, with a folder that its own user may enter."""

    name = None

    @classmethod
    def is_there(cls):
        return program(cls.name) is not None

    def __init__(self, ports):
        self.port = ports.take()
        self.directory = tempfile.mkdtemp(prefix="carpool-parent-")
        os.chmod(self.directory, 0o777)
        self.process = subprocess.Popen([program(self.name), *self.arguments()], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.directory)
        wait_until(self._listens, f"{self.name} listens")

    def _listens(self):
        assert self.process.poll() is None, f"{self.name} has ended: {self.log()}"
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def log(self):
        text = ""
        for name in ("access.log", "log"):
            try:
                with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as file:
                    text += file.read()
            except FileNotFoundError:
                pass
        return text

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Squid(_Child):
    """With a password, and a line in its log for each request."""

    name = "squid"
    helper = "/usr/lib/squid/basic_ncsa_auth"

    @classmethod
    def is_there(cls):
        return super().is_there() and os.path.exists(cls.helper)

    def arguments(self):
        hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True)
        users = self.write("users", f"{USER}:{hashed.stdout}")
        me = pwd.getpwuid(os.getuid()).pw_name
        return ["-N", "-f", self.write("squid.conf", f"""
http_port 127.0.0.1:{self.port}
auth_param basic program {self.helper} {users}
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
shutdown_lifetime 0 seconds
visible_hostname squid.test
pid_filename none
coredump_dir {self.directory}
cache_log {self.directory}/log
access_log stdio:{self.directory}/access.log
buffered_logs off
{'cache_effective_user proxy' if me == 'root' else ''}
""")]


class Tinyproxy(_Child):
    name = "tinyproxy"

    def arguments(self):
        return ["-d", "-c", self.write("tinyproxy.conf", f"""
Port {self.port}
Listen 127.0.0.1
Timeout 600
Allow 127.0.0.1
MaxClients 100
BasicAuth {USER} secret
LogFile "{self.directory}/log"
LogLevel Connect
""")]


class Privoxy(_Child):
    name = "privoxy"

    def arguments(self):
        return ["--no-daemon", self.write("config", f"""
confdir /etc/privoxy
logdir {self.directory}
logfile log
debug 1
listen-address 127.0.0.1:{self.port}
toggle 0
keep-alive-timeout 300
""")]
