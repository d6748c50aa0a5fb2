"""The booted system, as an operator and as systemd see it."""
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
from behaviour.harness import wait_until  # noqa: E402
from readme import blocks  # noqa: E402

USER = "op"
POLICY = pathlib.Path("/etc/carpool/carpool.yaml")
PROXY = ("127.0.0.1", 3128)


def sh(script, user=USER, env=None, check=True):
    """A shell script as the operator types it, in the clone; what it printed, both ways."""
    words = ["runuser", "-u", user, "--", "env", *[f"{key}={value}" for key, value in (env or {}).items()],
             "bash", "-ec", script]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=HERE.parents[2], timeout=300, check=False)
    print(f"$ {script}\n{done.stdout}")
    assert not check or done.returncode == 0, f"{script}: exit status {done.returncode}\n{done.stdout}"
    done.failed = done.returncode != 0
    return done


class Readme:
    """README's blocks of commands, each to be run by some test."""

    def __init__(self):
        self.blocks = blocks()
        # Those are run by ../run, before the boot.
        self.left = {(heading, number) for heading, scripts in self.blocks.items() for number in range(len(scripts))
                     if heading not in ("Build a package", "Without a package")}

    def script(self, heading, number=0):
        self.left.discard((heading, number))
        return self.blocks[heading][number]

    def run(self, heading, number=0, **how):
        return sh(self.script(heading, number), **how)


@pytest.fixture(scope="session")
def readme():
    return Readme()


class Service:
    def show(self, name, unit="carpoold.service"):
        return sh(f"systemctl show --value --property={name} {unit}").stdout.strip()

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def is_active(self):
        return sh("systemctl is-active carpoold", check=False).stdout.strip() == "active"

    def wait_active(self, but=None):
        """Until it runs, as another process than `but`."""
        wait_until(lambda: self.is_active() and self.pid not in (0, but), "carpoold runs")

    def journal(self):
        """What the daemon wrote, without systemd's own words about it."""
        sh("journalctl --sync", user="root")
        lines = sh("journalctl --unit=carpoold --output=json --no-pager _TRANSPORT=stdout", user="root").stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def override(self, text):
        """A drop-in, as systemctl edit makes one; '' takes it away."""
        path = pathlib.Path("/etc/systemd/system/carpoold.service.d/test.conf")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[Service]\n{text}\n")
        if not text:
            path.unlink()
            path.parent.rmdir()
        sh("systemctl daemon-reload && systemctl restart carpoold", user="root")
        self.wait_active()


@pytest.fixture(scope="session")
def service():
    return Service()


@pytest.fixture
def edit(readme):
    """Types README's commands for a change of the policy; the editor that sudoedit starts writes `text`."""
    def change(text, check=True):
        editor = pathlib.Path("/tmp/editor")
        editor.write_text(f"#!/bin/sh\ncat >\"$1\" <<'END'\n{text}\nEND\n")
        editor.chmod(0o755)
        return readme.run("Change the policy", env={"SUDO_EDITOR": editor}, check=check)
    return change


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def origin():
    """The URL of a service on this host."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:8000/"
    server.shutdown()


@pytest.fixture
def ask(origin):
    def through_carpool():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": "http://127.0.0.1:3128"}))
        return opener.open(origin, timeout=30).read()
    return through_carpool
