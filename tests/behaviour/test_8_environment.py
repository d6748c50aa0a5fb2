"""Section 8: what the environment may do to a daemon: terminals, pipes, limits, descriptors."""

import datetime
import fcntl
import json
import os
import pty
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time

import pytest

from .harness import stays, wait_until
from .harness.client import request
from .harness.daemon import binary
from .test_4_4_connect import echo_bytes

JOURNAL = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)"


def shell(redirections):
    """The prefix of a command that starts so."""
    return ["bash", "-c", f'{redirections}; exec "$@"', "bash"]


class Terminal:
    """A terminal that is read when the test says so."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.path = os.ttyname(slave)
        self.text = b""

    def read(self):
        def run():
            try:
                while data := os.read(self.master, 65536):
                    self.text += data
            except OSError:
                pass
        threading.Thread(target=run, daemon=True).start()

    def lines(self):
        return self.text.replace(b"\r\n", b"\n").decode().split("\n")[:-1]

    def close(self):
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal():
    it = Terminal()
    yield it
    it.close()


def ask_often(carpool, origin, times):
    client = carpool.client()
    for _ in range(times):
        assert client.get(origin.url("/some/path/that/makes/a/line/longer")).status == 200
    client.close()


TALKATIVE = {"log": {"level": "debug"}, "accessLog": {"path": "-"}, "defaults": {"keepAlive": False}, "workers": 2}


@pytest.mark.parametrize("which", ["stderr", "stdout", "both"])
def test_a_terminal_that_nobody_reads(stage, terminal, which):
    """stderr and stdout never block, whatever they are: lines are dropped, and counted"""
    origin = stage.origin()
    words = {"stderr": f"exec 2>{terminal.path}", "stdout": f"exec >{terminal.path}",
             "both": f"exec >{terminal.path} 2>&1"}[which]
    carpool = stage.carpool(TALKATIVE, prefix=shell(words))
    ask_often(carpool, origin, 1200)
    if which == "stderr":
        terminal.read()
        wait_until(lambda: any("log lines were dropped" in line and "lines=" in line for line in terminal.lines()),
                   "the lost lines are counted", 30)
    for line in terminal.lines():
        assert line.startswith("time="), line
    carpool.ends_itself()
    carpool.process.terminate()
    assert carpool.wait() == 0


def test_others_who_have_the_terminal_wait_as_before(stage, terminal):
    """O_NONBLOCK is not set for the shell"""
    stage.carpool(prefix=shell(f"exec 2>&{terminal.slave}"), pass_fds=[terminal.slave])
    assert os.get_blocking(terminal.slave)


def test_a_pipe_that_nobody_reads(stage):
    origin = stage.origin()
    ours, its = os.pipe()
    carpool = stage.carpool(TALKATIVE, prefix=shell(f"exec >&{its} 2>&1 {its}>&-"), pass_fds=[its])
    os.close(its)
    ask_often(carpool, origin, 1200)
    carpool.ends_itself()
    carpool.process.terminate()
    assert carpool.wait() == 0
    os.close(ours)


@pytest.mark.parametrize("word, prefixed", [(JOURNAL, True), ("JOURNAL_STREAM=8:12345", False), ("JOURNAL_STREAM=", False)])
def test_level_prefixes_for_the_journal_alone(stage, word, prefixed):
    """Level prefixes stand only where JOURNAL_STREAM names stderr itself."""
    carpool = stage.carpool(prefix=shell(f"export {word}"))
    assert carpool.stderr
    for line in carpool.stderr.splitlines():
        assert line[:8] in ("<6>time=", "<4>time=") if prefixed else line.startswith("time="), line


@pytest.mark.parametrize("words, closed", [("exec <&- >&- 2>&-", [0, 1, 2]), ("exec 2>&-", [2]), ("exec <&-", [0])])
def test_descriptors_that_were_closed(stage, words, closed):
    """they are /dev/null then, so that no log line goes where something else was opened"""
    origin = stage.origin()
    carpool = stage.carpool({"log": {"level": "debug"}, "accessLog": {"path": "-"}}, prefix=shell(words))
    ask_often(carpool, origin, 50)
    for number in closed:
        assert os.readlink(f"/proc/{carpool.pid}/fd/{number}") == "/dev/null"


def test_a_log_that_may_not_grow(stage):
    """RLIMIT_FSIZE: a write fails, and SIGXFSZ ends nobody"""
    origin = stage.origin()
    path = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": path}}, prefix=shell("ulimit -f 16"))
    ask_often(carpool, origin, 500)
    wait_until(lambda: "cannot write the access log" in carpool.stderr, "it says so")
    assert os.path.getsize(path) <= 16 * 1024
    ask_often(carpool, origin, 10)


@pytest.mark.parametrize("limit, most, warns", [(1000, 500, False), (1000, 501, True), (1000, 0, False), (64, 10000, True)])
def test_too_few_descriptors_for_the_clients(stage, limit, most, warns):
    """low RLIMIT_NOFILE against maxConnections is a warning"""
    carpool = stage.carpool({"server": {"maxConnections": most}}, prefix=shell(f"ulimit -n {limit}"))
    lines = [line for line in carpool.stderr.splitlines() if "too few descriptors" in line]
    assert len(lines) == warns
    if warns:
        assert "level=warn" in lines[0] and f"limit={limit} needed={2 * most}" in lines[0]


@pytest.mark.parametrize("words", ["export TZ=Pacific/Kiritimati", "export LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8", "umask 777",
                                   'mkdir gone && cd gone && rmdir "$PWD"', "exec env -i sh -c 'exec \"$0\" \"$@\"' \"$@\""],
                         ids=["time zone", "locale", "umask", "folder is gone", "no environment"])
def test_odd_surroundings(stage, words):
    origin = stage.origin()
    carpool = stage.carpool({"accessLog": {"path": "-", "format": "json"}, "admin": {"listen": f"unix:{stage.path('admin')}"}},
                            prefix=shell(words))
    before = time.time()
    ask_often(carpool, origin, 3)
    wait_until(lambda: len(carpool.stdout.splitlines()) == 3, "the lines come")
    line = json.loads(carpool.stdout.splitlines()[0])
    moment = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
    assert before - 1 < moment < time.time() + 1
    assert stat.S_IMODE(os.stat(stage.path("admin")).st_mode) == 0o600
    assert carpool.process.poll() is None


def test_no_proc(stage):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and unshare -m")
    with open(binary("CARPOOLD"), "rb") as file:
        if b"__asan_init" in file.read():
            pytest.skip("AddressSanitizer reads /proc itself")
    origin = stage.origin()
    carpool = stage.carpool(prefix=["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"])
    ask_often(carpool, origin, 3)
    assert "process_cpu_seconds_total" in carpool.admin("/metrics").text
    assert carpool.admin("/reload", "POST").status == 200


def test_what_came_while_it_was_stopped(stage):
    """What came while Carpool did not run (stopped, a paused VM) is read before a time limit is judged."""
    limit, origin = "3s", stage.origin(manual=True)
    echo = stage.origin(serve=echo_bytes)
    carpool = stage.carpool({"server": {"headersTimeout": limit, "keepAliveTimeout": limit, "keepAliveTimeoutBuffer": "0s"},
                             "access": {"connectPorts": [echo.port]},
                             "defaults": {"timeouts": {"socket": limit, "request": limit, "tunnel": limit}}})
    idle = carpool.client()
    waiting = carpool.ask(origin.url("/waiting"))
    origin.wait_requests(1)
    idle.send(request("GET", origin.url("/first")))
    origin.wait_requests(2)
    origin.connections[1].reply(b"first")
    assert idle.response().text == "first"
    tunnel = carpool.client()
    tunnel.send(request("CONNECT", echo.authority))
    assert tunnel.read_response_head().status == 200
    head = request("GET", f"http://127.0.0.1:{carpool.port}/loop")
    slow = carpool.client()
    slow.send(head[:20])
    carpool.signal(signal.SIGSTOP)
    try:
        slow.send(head[20:])
        idle.send(request("GET", f"http://127.0.0.1:{carpool.port}/loop"))
        tunnel.send(b"still here")
        origin.connections[0].reply(b"late")
        stays(lambda: not waiting.answered(), "it stands still", 4)
    finally:
        carpool.signal(signal.SIGCONT)
    assert waiting.response().text == "late"
    assert slow.read_response().error == "proxy_loop_detected"      # no 408
    assert idle.response().error == "proxy_loop_detected"
    assert tunnel.exactly(10) == b"still here"


def unread(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]


@pytest.mark.parametrize("form", ["json", "text"])
def test_each_reader_of_a_fifo_begins_with_a_whole_line(stage, form):
    origin = stage.origin()
    path = stage.path("access.fifo")
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    carpool = stage.carpool({"accessLog": {"path": path, "format": form}})
    ask_often(carpool, origin, 20)
    wait_until(lambda: unread(first) > 2000, "some lines are there")
    head = os.read(first, 1000)     # ends within a line
    assert not head.endswith(b"\n")
    os.close(first)
    ask_often(carpool, origin, 20)
    wait_until(lambda: "cannot write the access log" in carpool.stderr, "it has noticed that nobody reads")
    second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    ask_often(carpool, origin, 20)
    text = b""

    def read():
        nonlocal text
        try:
            text += os.read(second, 65536)
        except BlockingIOError:
            pass
        return text.count(b"\n") >= 50
    wait_until(read, "the other lines come")
    os.close(second)
    for line in text.decode().splitlines():
        assert line.startswith('{"time":' if form == "json" else "time="), line
        if form == "json":
            json.loads(line)


def test_a_unix_upstream_that_does_not_accept(stage):
    """connect timeout (a unix upstream whose queue is full: the text says so) | 504 connection_timeout"""
    path = stage.path("upstream")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting = []
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            waiting.append(sock)
            if sock.connect_ex(path):
                break
        carpool = stage.carpool({"upstreams": {"u": {"match": "u.test", "address": [f"unix:{path}"],
                                                     "timeouts": {"connect": "300ms"}}}})
        response = carpool.get("http://u.test/")
        assert (response.status, response.error) == (504, "connection_timeout")
        assert f"{path}: its queue of connections stayed full for 300ms" in response.text
        for sock in waiting:
            sock.close()
