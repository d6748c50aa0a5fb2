"""Section 2: `carpoolctl top` on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from .harness import PATIENCE
from .harness.client import request
from .harness.daemon import binary, environment
from .harness.origin import answer

LONG = "payments-settlement"


class Terminal:
    """carpoolctl on a terminal of its own; `carpool` may be an admin port."""

    def __init__(self, carpool, command="top", columns=80, rows=24):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(binary("CARPOOLCTL"), ["carpoolctl", "-s", f"127.0.0.1:{getattr(carpool, 'admin_port', carpool)}", command],
                      {**environment(), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})
        self.got = b""
        self.status = None

    def read(self):
        if not select.select([self.file], [], [], 0.2)[0]:
            return
        try:
            self.got += os.read(self.file, 65536)
        except OSError:     # it has ended
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def picture(self):
        """The lines of the last whole picture."""
        pictures = self.got.split(b"\x1b[H")
        last = pictures[-2] if len(pictures) > 1 else b""
        return [line.rstrip() for line in
                re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last.decode(errors="replace")).split("\r\n")]

    def see(self, looks_so):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.status is None:
            self.read()
            if looks_so(self.picture()):
                return self.picture()
        raise AssertionError(f"not seen: {self.picture()}")

    def press(self, keys):
        os.write(self.file, keys)

    def end(self):
        end = time.monotonic() + PATIENCE
        while self.status is None and time.monotonic() < end:
            self.read()
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def watching(stage):
    """Opens terminals, and closes them."""
    terminals = []

    def watch(carpool, **size):
        terminals.append(Terminal(carpool, **size))
        return terminals[-1]
    yield watch
    for terminal in terminals:
        terminal.close()


def troubled(stage):
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {LONG: {"match": "settlement.payments.internal.example.com", "address": [
        f"127.0.0.1:{refused.getsockname()[1]}"]}, "fine": {"match": "fine.test"}}})
    for _ in range(4):
        assert carpool.get("http://settlement.payments.internal.example.com/").status == 502
    return carpool, refused


def flat(lines):
    return " ".join(" ".join(lines).split())


def row_of(lines, agent):
    return next((line for line in lines if line.startswith(agent) and ": " not in line), None)


def test_eighty_columns_show_what_matters(stage, watching):
    """nothing cut at 80 columns that matters, diagnoses wrapped, ERR/S"""
    carpool, refused = troubled(stage)
    said = carpool.agents()[LONG]["diagnosis"][0]
    terminal = watching(carpool)
    lines = terminal.see(lambda lines: row_of(lines, LONG))
    assert said in flat(lines) and len(said) > 80 and max(map(len, lines)) <= 80 and len(lines) == 24
    head = next(line for line in lines if line.startswith("AGENT"))
    assert head.split() == ["AGENT", "ORIGIN", "ACTIVE", "FREE", "WAITING", "REQ/S", "ERR/S"]
    assert "f freeze" in lines[-1] and "pause" not in flat(lines)
    assert lines[0].startswith("1 problem; now ")
    terminal.press(b"q")
    assert terminal.end() == 0
    assert terminal.got.endswith(b"\x1b[?25h\x1b[?1049l")
    refused.close()


def test_refused_requests_are_no_errors(stage, watching):
    """REFUSED by limits, ERRORS all others: in the first line and in rates, too"""
    held = stage.origin(lambda _: None)
    carpool = stage.carpool({"upstreams": {"full": {"match": "full.test", "address": [held.authority], "maxSockets": 1,
                                                    "maxPendingRequests": 0}}})
    carpool.client().send(request("GET", "http://full.test/"))
    carpool.wait_row("http://full.test:80", "full", sockets=1)
    terminal = watching(carpool)
    lines = terminal.see(lambda lines: row_of(lines, "full"))
    titles = next(line for line in lines if line.startswith("AGENT")).split()

    def shows_refusals(lines):
        assert carpool.get("http://full.test/").status == 503
        row = dict(zip(titles, (row_of(lines, "full") or "").split()))
        return row.get("REF/S", "0") != "0" and row["ERR/S"] == "0" and re.search(
            r" 0\.0 errors/s, [\d.]+ refused/s; up ", flat(lines[:2]))
    assert max(map(len, terminal.see(shows_refusals))) <= 80


def test_status_breaks_lines_between_words(stage, watching):
    """problems above the table: on a terminal they are wrapped, too"""
    carpool, refused = troubled(stage)
    said = carpool.agents()[LONG]["diagnosis"][0]
    terminal = watching(carpool, command="status")
    assert terminal.end() == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.got.decode())
    above = text.split("\r\n\r\n")[0].split("\r\n")
    assert above[0].startswith("1 problem; now ") and max(map(len, above)) <= 80 and said in flat(above) and len(said) > 80
    refused.close()


def test_errors_are_wrapped_below_their_column(stage, watching):
    """errors on a terminal: what does not fit begins under WHAT again"""
    refused = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"gone": {"match": "gone.test", "address": [f"127.0.0.1:{refused.getsockname()[1]}"]}}})
    assert carpool.get("http://gone.test/").status == 502
    said = carpool.agents()["gone"]["recentErrors"][0]["text"]
    terminal = watching(carpool, command="errors")
    assert terminal.end() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.got.decode()).rstrip().split("\r\n")
    head = next(i for i, line in enumerate(lines) if line.startswith("TIME"))
    column = lines[head].index("WHAT")
    what = [line[column:] for line in lines[head + 1:]]
    assert " ".join(what).endswith(said) and len(what) > 1 and max(map(len, lines)) <= 80
    assert all(not line[:column].strip() for line in lines[head + 2:])
    refused.close()


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_tells_origins_apart(stage, watching, columns):
    """nothing cut that matters: host and port of an origin, and the keys whole"""
    origins = [stage.origin(), stage.origin()]
    carpool = stage.carpool()
    for origin in origins:
        assert carpool.get(f"http://{origin.authority}/").status == 200
    terminal = watching(carpool, columns=columns)
    lines = terminal.see(lambda lines: len([line for line in lines if line.startswith("default")]) == 2)
    shown = [line.split()[1] for line in lines if line.startswith("default")]
    assert sorted(line[-3:] for line in shown) == sorted(origin.authority[-3:] for origin in origins)
    assert all(line.startswith("127") for line in shown) and max(map(len, lines)) <= columns
    assert lines[-1].split("   ")[-1] in ("f freeze", "left/right sort by", "up/down scroll", "r reverse")


def test_a_wide_terminal_has_bars_with_a_scale(stage, watching):
    """a scale for the bars"""
    carpool = stage.carpool()
    terminal = watching(carpool, columns=160)
    lines = terminal.see(lambda lines: (row_of(lines, "default") or "").endswith("max 0"))
    assert any(line.startswith("AGENT") and line.endswith("REQ/S, LAST 20 S") for line in lines)


def forgetful(stage, carpool):
    """An admin listener like that of `carpool`, whose one origin seems to be the row "*": another one, with 800 requests, is there
    for two looks, and then this row has them. Returns the port."""
    looks = []

    def respond(asked):
        answered = json.loads(carpool.admin(asked.target).body)
        looks.append(asked)
        (row,) = answered["agents"][0]["origins"]
        other = {**row, "origin": "http://forgotten.test:80", "requestsTotal": 800}
        star = {**row, "origin": "*", "requestsTotal": row["requestsTotal"] + (800 if len(looks) > 2 else 0)}
        answered["agents"][0]["origins"] = [star, other] if len(looks) <= 2 else [star]
        asked.connection.send(answer(json.dumps(answered).encode(), fields=[("Connection", "close")]))
        asked.connection.close()

    return stage.origin(respond).port


def test_what_a_forgotten_origin_counted_is_no_rate(stage, watching):
    """requests per second"""
    origin = stage.origin()
    carpool = stage.carpool()
    assert carpool.get(origin.url("/")).status == 200
    terminal = watching(forgetful(stage, carpool), columns=160)
    lines = terminal.see(lambda lines: b"forgotten.test" in terminal.got and
                         len([line for line in lines if line.startswith("default")]) == 1)
    (row,) = [line for line in lines if line.startswith("default")]
    assert "forgotten" not in row and row.endswith("max 0"), lines


def test_freeze(stage, watching):
    """"freeze" instead of "pause\""""
    terminal = watching(stage.carpool())
    terminal.see(lambda lines: row_of(lines, "default"))
    terminal.press(b"f")
    terminal.see(lambda lines: lines[-1].startswith("frozen"))
    terminal.press(b"\x1b[C\x1b")     # an arrow, and out
    assert terminal.end() == 0


def test_no_row_stays_when_the_daemon_is_gone(stage, watching):
    """`top` keeps stale rows when the daemon is gone"""
    carpool = stage.carpool()
    terminal = watching(carpool)
    terminal.see(lambda lines: row_of(lines, "default"))
    carpool.ends_itself()
    carpool.signal(signal.SIGTERM)
    lines = terminal.see(lambda lines: "cannot reach carpoold" in flat(lines))
    assert not row_of(lines, "default")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 0


def test_a_daemon_that_hangs(stage, watching):
    """rows that are out of date are not shown, and who waits for an answer can leave"""
    carpool = stage.carpool()
    terminal = watching(carpool)
    terminal.see(lambda lines: row_of(lines, "default"))
    carpool.signal(signal.SIGSTOP)
    try:
        lines = terminal.see(lambda lines: "it took too long" in flat(lines))
        assert not row_of(lines, "default")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.end() == 0
    finally:
        carpool.signal(signal.SIGCONT)


def test_without_a_terminal(stage):
    """top needs a terminal"""
    from .harness import run
    done = run("-s", f"127.0.0.1:{stage.carpool().admin_port}", "top", program="CARPOOLCTL")
    assert done.returncode == 1 and "needs a terminal" in done.stderr
