"""The `stage` fixture: everything a test starts, and the checks at its end that hold for every test."""

import os
import socket
import subprocess

import pytest

from .harness import PATIENCE, wait_until, yaml
from .harness.daemon import Daemon, NotStarted, binary
from .harness.daemon import run as run_to_its_end
from .harness.names import Dnsmasq, NameServer, can_replace_files, with_files
from .harness.origin import Origin
from .harness.ports import Ports


@pytest.fixture(scope="session")
def ports():
    return Ports()


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Fails early and once where there is nothing to test."""
    binary("CARPOOLD")


class Stage:
    def __init__(self, ports, directory):
        self.ports = ports
        self.directory = str(directory)
        self.daemons = []
        self.origins = []
        self.servers = []
        self.allow_origin_failures = False

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def origin(self, respond=None, **how):
        """A server that runs a script, see Origin. It echoes where nothing else is said."""
        origin = Origin(self.ports, respond, **how)
        self.origins.append(origin)
        return origin

    def carpool(self, config=None, **how):
        """A running daemon."""
        directory = self.path(f"carpool-{len(self.daemons)}")
        os.mkdir(directory)
        try:
            daemon = Daemon(config or {}, self.ports, directory, **how)
        except NotStarted as error:
            if "in use" not in str(error):
                raise
            # Somebody else on this machine was quicker at a port; the next ones are others.
            daemon = Daemon(config or {}, self.ports, directory, **how)
        self.daemons.append(daemon)
        return daemon

    def pooled(self, **defaults):
        """A running daemon with these `defaults`."""
        return self.carpool({"defaults": defaults})

    def names(self, names, **how):
        """A name server, and the prefix that makes a daemon ask it."""
        if not can_replace_files():
            pytest.skip("needs root and unshare -m for its own /etc/resolv.conf")
        server = NameServer(self.ports.block, names, **how)
        self.servers.append(server)
        return server

    def dnsmasq(self, *options):
        """A real name server, which knows what these options say."""
        if not can_replace_files():
            pytest.skip("needs root and unshare -m for its own /etc/resolv.conf")
        if not Dnsmasq.program:
            pytest.skip("dnsmasq is not installed (Debian: dnsmasq-base)")
        server = Dnsmasq(self.ports.block, *options)
        self.servers.append(server)
        return server

    def asking(self, server, hosts="127.0.0.1 localhost\n"):
        """The prefix of a daemon that asks this server and has these hosts."""
        return with_files(self.directory, {"/etc/resolv.conf": server.resolv_conf, "/etc/hosts": hosts})

    def check(self, config, *args, env=None):
        """`carpoold -t` on this configuration (text or values): the finished process."""
        file = self.write("checked.yaml", config if isinstance(config, str) else yaml.dump(config))
        return run_to_its_end("-t", "-c", file, *args, env=env)

    def finish(self):
        for daemon in self.daemons:
            for client in daemon.clients:
                client.close()
        for origin in self.origins:
            origin.close()
        problems = []
        for daemon in self.daemons:
            try:
                daemon.finish()
            except AssertionError as error:
                problems.append(str(error))
        for server in self.servers:
            server.close()
        for origin in self.origins:
            if not self.allow_origin_failures:
                problems += origin.failures
        assert not problems, "\n".join(problems)


@pytest.fixture
def stage(ports, tmp_path):
    stage = Stage(ports, tmp_path)
    yield stage
    stage.finish()


def wait_listening(process, port):
    def listens():
        assert process.poll() is None, "the server has ended"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0
    wait_until(listens, "the server listens")


@pytest.fixture
def run(stage):
    """Starts a real server: run(the port that it will listen at, program, *arguments) is its process."""
    running = []

    def start(port, *args):
        running.append(subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_listening(running[-1], port)
        return running[-1]
    yield start
    for process in running:
        process.terminate()  # a master that is killed leaves its workers
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
