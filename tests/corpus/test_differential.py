"""Each request case through Carpool to a real nginx and a real Node: they must see what the strict parser sees.

An origin may refuse what it gets (it knows fewer methods), but never see other requests, or more of them.
"""
import collections
import json
import shutil
import subprocess
import threading
import urllib.request

import pytest

from behaviour.harness.ports import Ports
from behaviour.harness.relay import Relay
from behaviour.harness.waiting import PATIENCE, wait_until
from clients import nginx

from . import strict
from .case import HERE, all_cases
from .conversation import Conversation
from .judge import VIA, methods_in
from .origin import TLS_HANDSHAKE

END = "/the-end-of-the-case"


class RealOrigin:
    """`log()` gives all it has seen since its start: tuples (method, target, host, body), None for what it refused."""

    def __init__(self):
        self.read = 0

    def since_last_time(self):
        """Asks it directly for END, which it sees behind all that went before, and returns what came until then."""
        address = f"http://127.0.0.1:{self.port}{END}"
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=PATIENCE).read()
        new = wait_until(self.ended, lambda: f"{type(self).__name__} saw {END}")
        self.read += len(new)
        return [entry for entry in new if entry is None or entry[1] != END]

    def ended(self):
        new = self.log()[self.read:]
        return any(entry and entry[1] == END for entry in new) and new


class NginxOrigin(RealOrigin):
    REFUSALS = {400, 405, 408, 413, 414, 417, 431, 499, 501}

    def __init__(self, directory):
        super().__init__()
        if not nginx.program():
            pytest.skip("nginx is not installed; ./quickstart check brings it")
        self.server = nginx.Nginx(directory / "nginx", Ports(), only_posts=True)
        self.port = self.server.port

    def log(self):
        return [None if e["status"] in self.REFUSALS else (e["method"], e["uri"], e["host"], e["body"])
                for e in self.server.seen()]

    def stop(self):
        self.server.stop()


class NodeOrigin(RealOrigin):
    def __init__(self, _directory):
        super().__init__()
        if not shutil.which("node"):
            pytest.skip("node is not installed; ./quickstart check brings it")
        self.process = subprocess.Popen(["node", str(HERE / "origin.js")], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.lines = []
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def log(self):
        return [None if "refused" in e else (e["method"], e["uri"], e["host"], e["body"]) for e in list(self.lines)]

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="session")
def real_origins(tmp_path_factory):
    started = {}

    def start(kind):
        if kind not in started:
            started[kind] = kind(tmp_path_factory.mktemp(kind.__name__))
        return started[kind]
    yield start
    for origin in started.values():
        origin.stop()


@pytest.mark.parametrize("kind", [NginxOrigin, NodeOrigin])
@pytest.mark.parametrize("case", all_cases("requests"), ids=lambda case: case.name)
def test_real_origins_see_the_same(case, kind, daemon, real_origins):
    origin = real_origins(kind)
    with Relay(origin.port) as relay:
        host, port = relay.authority.split(":")
        names = {"ORIGIN": relay.authority, "HOST": host, "PORT": port, "VIA": VIA,
                 "PROXY": f"127.0.0.1:{daemon.port}", "PROXY_PORT": str(daemon.port),
                 "ADMIN": f"127.0.0.1:{daemon.admin_port}"}
        data = case.fill(case.raw, names)
        talk = Conversation(daemon.port, methods_in(data))
        talk.run([data], case.requests[1], "half-close" in case.flags)
    sent = [request for pair in relay.pairs if not pair.sent.startswith(bytes([TLS_HANDSHAKE]))
            for request in strict.requests(bytes(pair.sent))]
    wanted = collections.Counter((r.method, r.target, r.get("host").decode(), r.body.decode("latin-1")) for r in sent)
    seen = origin.since_last_time()
    accepted = collections.Counter(entry for entry in seen if entry)

    assert not accepted - wanted, f"{case.path.name} ({case.why}): it saw {accepted}, sent were {wanted}"
    assert wanted.total() <= len(seen), f"{case.path.name} ({case.why}): it saw {seen}, sent were {wanted}"
    assert not any(entry and entry[1] == "/smuggled" for entry in seen)
