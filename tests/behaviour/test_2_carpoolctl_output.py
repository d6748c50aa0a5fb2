"""Section 2: what carpoolctl prints, whoever answers it and wherever it goes."""

import json
import os
import pty
import select
import subprocess
import time

import pytest

from .harness import PATIENCE
from .harness.daemon import binary, environment
from .harness.origin import Origin, answer

# ESC, BEL, CSI as C1, DEL, BS, CR, as JSON has them; and raw, with NUL
STEERING = r"\u001b]0;owned\u0007\u001b[31m\u009b31m\u007f\b\r"
RAW = b"\x1b]0;owned\x07\x1b[31m\xc2\x9b31m\x9b31m\x7f\x08\r\x00"
AGENTS = {"agents": [{"name": "STEERING", "origins": [{"origin": "STEERING", "retiredTotal": {"STEERING": 1}}],
                      "diagnosis": ["STEERING"], "recentErrors": [{"time": "STEERING", "origin": "STEERING", "error": "STEERING",
                                                                   "text": "STEERING"}]}], "STEERING": 1}


def steering(value):
    """JSON in which a marked text is what would steer a terminal."""
    return json.dumps(value, ensure_ascii=False).replace("STEERING", STEERING).encode()


def answers(body, status=200):
    """A server that gives the same answer to everybody, and ends the connection."""
    def respond(request):
        request.connection.send(answer(body, f"{status} Whatever", [("Connection", "close")]))
        request.connection.close()
    return Origin(respond=respond)


def ctl(address, *words, closing=None, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh"] if closing else []
    return subprocess.run([*shell, binary("CARPOOLCTL"), "-s", address, *words], stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
                          env=environment(), **how)


def control_bytes(text):
    """C0 but for line feeds, DEL, C1, and bytes that are no UTF-8 (C1 to a terminal that expects none)."""
    return [c for c in text.decode(errors="surrogateescape")
            if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or "\udc80" <= c <= "\udcff"]


@pytest.mark.parametrize("body", [steering(AGENTS), steering({"name": "STEERING", "version": "STEERING", "instance": "STEERING"}),
                                  steering({"listen": ["127.0.0.1:1STEERING", "STEERING:1"]}), RAW, b'{"agents":[{"name":"a\xc2\x9b31m\x7f"}]}'],
                         ids=["agents", "names", "listen", "raw", "raw-json"])
@pytest.mark.parametrize("words", ["status", "--json status", "agents", "config", "--json config", "version", "reload", "--json reload",
                                   "drain x", "run -- sh -c 'echo $http_proxy'"])
def test_no_control_byte_of_a_server_is_printed(words, body):
    """carpoolctl never passes on a control byte (C0, DEL, C1) that came from the server, whether it succeeds or fails"""
    words = words.split(" ", 4) if words.startswith("run") else words.split()
    for status in (200, 400):
        with answers(body, status) as server:
            done = ctl(server.authority, *words)
        assert not control_bytes(done.stdout), done.stdout
        assert not control_bytes(done.stderr), done.stderr


@pytest.mark.parametrize("words", ["status", "reload", "version"])
def test_no_control_byte_of_an_error_is_printed(words):
    """the text of an error"""
    with answers(steering({"error": "first STEERING\nsecond"}), 400) as server:
        done = ctl(server.authority, words)
    assert done.returncode == 1 and not control_bytes(done.stderr)
    assert b"first \\u001b]0;owned" in done.stderr and b"\nsecond" in done.stderr


@pytest.mark.parametrize("words", ["--json status", "--json config", "config"])
def test_json_says_the_same_by_escapes(words):
    """in `--json` only as an escape: what is printed reads back to what was said, wherever the pieces are cut"""
    text = "".join("\x7fé\u009b€\x85𝄞x" for _ in range(3000))
    for shift in range(4):
        said = {"agents": ["a" * shift + text]}
        with answers(json.dumps(said, ensure_ascii=False).encode()) as server:
            done = ctl(server.authority, *words.split())
        assert done.returncode == 0 and not control_bytes(done.stdout)
        if words.startswith("--json"):
            assert json.loads(done.stdout) == said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", ["status", "--json status", "agents", "config", "version", "drain default", "reload", "--version", "--help"])
def test_a_full_stdout_is_a_failure(stage, words):
    """Output that cannot be written: exit 1"""
    carpool = stage.carpool()
    with open("/dev/full", "wb") as full:
        done = ctl(f"127.0.0.1:{carpool.admin_port}", *words.split(), stdout=full)
    assert done.returncode == 1 and b"cannot write to stdout: No space left on device" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", ["--print-config", "--version", "--help"])
def test_a_full_stdout_is_a_failure_of_carpoold(words):
    """Output that cannot be written: exit 1"""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary("CARPOOLD"), "-c", "/dev/null", words], stdout=full, stderr=subprocess.PIPE, check=False,
                              timeout=PATIENCE)
    assert done.returncode == 1 and b"cannot write to stdout: No space left on device" in done.stderr


@pytest.mark.parametrize("words", ["status", "--json config", "version", "reload", "--help"])
def test_a_closed_stdout_is_a_failure(stage, words):
    """nor does anything that is opened in its place, such as the connection to the server, get what was meant for it"""
    carpool = stage.carpool()
    done = ctl(f"127.0.0.1:{carpool.admin_port}", *words.split(), closing=">&-")
    assert done.returncode == 1 and b"cannot write to stdout: Bad file descriptor" in done.stderr


def test_a_closed_stdout_is_a_failure_of_carpoold():
    done = subprocess.run(["sh", "-c", 'exec "$0" --print-config -c /dev/null >&-', binary("CARPOOLD")], stderr=subprocess.PIPE,
                          check=False, timeout=PATIENCE)
    assert done.returncode == 1 and b"cannot write to stdout: Bad file descriptor" in done.stderr


def test_what_run_starts_finds_closed_what_was_closed(stage):
    carpool = stage.carpool()
    for number, closing in enumerate(["<&-", ">&-", "2>&-"]):
        done = ctl(f"127.0.0.1:{carpool.admin_port}", "run", "--", "sh", "-c", f"! test -e /proc/$$/fd/{number}", closing=closing)
        assert done.returncode == 0, closing


def on_terminal(address, *words, until, keys=b""):
    """What a terminal of 80 columns gets until this stands there; then the keys are hit. The status, and all of it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(binary("CARPOOLCTL"), ["carpoolctl", "-s", address, *words], {**environment(), "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    got, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            got += os.read(terminal, 65536)
        except OSError:     # the other end is closed
            break
        if keys and until in got:
            os.write(terminal, keys)
            keys = b""
    os.close(terminal)
    assert until in got
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), got


def test_colours_are_carpoolctls_own():
    """status on a terminal: its own colours, and nothing of the server's"""
    with answers(steering({"agents": [{"name": "STEERING", "paused": True, "diagnosis": ["STEERING"]}]})) as server:
        status, got = on_terminal(server.authority, "status", until=b"owned")
    assert status == 0 and b"\x1b[33m" in got and b"\x1b[1m" in got
    assert b"\x1b]0;" not in got and b"\x1b[31m" not in got and b"\xc2\x9b" not in got


def test_a_long_sentence_is_printed_whole():
    """`status` says what is wrong, however long the file's path in it is"""
    sentence = "payments: /etc/" + "ü" * 3000 + ".pem expires tomorrow"
    with answers(json.dumps({"agents": [{"name": "payments", "diagnosis": [sentence]}]}).encode()) as server:
        done = ctl(server.authority, "status")
    assert sentence in done.stdout.decode()


def test_top_shows_no_control_characters():
    """top: the same"""
    with answers(steering(AGENTS)) as server:
        status, got = on_terminal(server.authority, "top", until=b"owned", keys=b"q")
    assert status == 0
    assert b"\x1b]0;" not in got and b"\xc2\x9b" not in got and b"\x07" not in got
