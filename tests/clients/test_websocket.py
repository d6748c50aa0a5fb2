"""WebSocket clients ask for a tunnel (CONNECT) even for ws://: what they say inside is served, and so is the Upgrade in it."""
import os
import pathlib
import subprocess

import pytest

from behaviour.conftest import Stage
from behaviour.harness.certificates import certificates
from behaviour.harness.daemon import binary, environment
from behaviour.test_10_tls import make_ca

from .conftest import PATIENCE, need
from .test_recipes import need_npm, npm_folder

PROGRAM = pathlib.Path(__file__).with_name("websocket.js")
HOST = "a.pool.test"
# (connect, URL): what is inside is served by default to port 80, and with `pool` to all
WAYS = [("tunnel", f"ws://{HOST}:80/feed"), ("pool", f"ws://{HOST}:8080/feed"), ("pool", f"wss://{HOST}:8443/feed")]


class Echo:
    """A server that sends each message back."""

    def __init__(self, pair=None):
        words = ["node", str(PROGRAM), "serve", *([pair.cert, pair.key] if pair else [])]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=npm_environment())
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def npm_environment():
    return environment({"NODE_PATH": str(npm_folder()), "no_proxy": None})


@pytest.fixture
def stage(tmp_path, ports):
    made = Stage(ports, tmp_path)
    yield made
    made.finish()


@pytest.fixture
def echo(request):
    need("node")
    need_npm("ws")
    made = Echo(certificates().leaf(f"DNS:{HOST}") if "wss" in request.node.name else None)
    yield made
    made.stop()


@pytest.mark.parametrize("connect, url", WAYS, ids=["tunnel-ws", "pool-ws", "pool-wss"])
@pytest.mark.parametrize("client", ["ws", "built-in"])
def test_websocket(stage, echo, client, connect, url):
    need_npm({"ws": "https-proxy-agent", "built-in": "node24"}[client])
    upstream = {"match": "*.pool.test", "connect": connect, "address": [f"127.0.0.1:{echo.port}"]}
    if url.startswith("wss"):
        upstream["tls"] = {"ca": certificates().ca.pem}
    carpool = stage.carpool({"connectTls": dict(zip(("cert", "key"), make_ca(stage, "pool.test"))), "upstreams": {"p": upstream}})
    words = {"ws": ["node", PROGRAM, "ask", url], "built-in": [npm_folder() / "node24/bin/node", PROGRAM, "ask-built-in", url]}
    for _ in range(2):
        done = subprocess.run([binary("CARPOOLCTL"), "-s", f"127.0.0.1:{carpool.admin_port}", "run", "--", *words[client]],
                              env=npm_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
                              stdin=subprocess.DEVNULL, cwd=os.fspath(stage.directory))
        assert done.stdout == "1000 true 3\n", (done.stdout, done.stderr)
    origin = url.replace("ws", "http", 1).removesuffix("/feed")
    carpool.wait_row(origin, "p", sockets=0, requestsTotal=2)
    assert carpool.retired(origin, "p") == {"upgraded": 2}
