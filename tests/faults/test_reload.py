"""Calls that fail while carpoold reads its configuration anew: all of it is in force then, or nothing of it."""
import errno
import json
import os

import pytest
from behaviour.harness.certificates import certificates
from behaviour.harness.waiting import wait_until
from faulty import Daemon, calls, goes_on, need_shim, origin, talk

# function, errno, how many calls in a row fail
RELOAD = [
    ("malloc", errno.ENOMEM, 1), ("malloc", errno.ENOMEM, 3), ("malloc but OpenSSL's", errno.ENOMEM, 5), ("pthread_create", errno.EAGAIN, 1),
    ("read of a file", errno.EIO, 1), ("read of a file", errno.EINTR, 1), ("open", errno.EMFILE, 1), ("SSL_CTX_new", 0, 1),
    ("socket", errno.EMFILE, 1), ("bind", errno.EADDRINUSE, 1), ("listen", errno.EADDRINUSE, 1), ("chmod", errno.EPERM, 1),
    ("setsockopt", errno.ENOPROTOOPT, 1), ("epoll_ctl", errno.ENOSPC, 1), ("epoll_ctl", errno.ENOMEM, 3), ("eventfd", errno.EMFILE, 1),
]
# What a reload does without
RARE = {"eventfd"}


class State:
    """One of two configurations that have nothing in common but the upstream that is asked; each needs an SSL_CTX of its own."""

    def __init__(self, daemon, secure, plain, name):
        self.daemon = daemon
        self.name = name
        self.folder = os.path.dirname(daemon.config)
        self.port, self.gateway, self.admin = (daemon.ports.take() for _ in range(3))
        self.path = os.path.join(self.folder, f"{name}.sock")
        self.shared = os.path.join(self.folder, "shared.sock")
        self.mode = "0600" if name == "a" else "0660"
        self.text = (f"listen: [127.0.0.1:{self.port}, 'unix:{self.path}', 'unix:{self.shared}?mode={self.mode}']\n"
                     f"admin: {{listen: 127.0.0.1:{self.admin}}}\nworkers: {daemon.workers}\nlog: {{level: error}}\n"
                     f"accessLog: {{path: {self.folder}/{name}.log}}\n"
                     f"defaults: {{maxSockets: {4 if name == 'a' else 5}, timeouts: {{connect: 1s, socket: 1s, free: 1s}}}}\nupstreams:\n"
                     f"  {name}: {{match: {name}.test, address: ['{plain}'], listen: 127.0.0.1:{self.gateway},"
                     f" tls: {{ca: {certificates().ca.pem}, {'minVersion: TLSv1.3' if name == 'a' else 'sessionReuse: false'}}}}}\n"
                     f"  secure: {{match: '{secure}', tls: {{ca: {certificates().ca.pem}}}}}\n")

    def write(self):
        with open(self.daemon.config, "w", encoding="ascii") as f:
            f.write(self.text)

    def knocks(self, port):
        return talk(self.daemon, b"nonsense\r\n\r\n", port) is not None

    def doors(self):
        """What of it takes connections: all, or nothing."""
        return {"proxy": self.knocks(self.port), "gateway": self.knocks(self.gateway), "admin": self.knocks(self.admin),
                "path": os.path.exists(self.path)}

    def ask_admin(self, method, path):
        return talk(self.daemon, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode(),
                    self.admin)

    def reload(self):
        """By its admin listener, whose own calls may fail as well. Whether it said that it went well."""
        answer = self.ask_admin("POST", "/reload")
        assert b"YAML" not in (answer or b""), f"nothing is wrong with the file: {answer}"
        return bool(answer) and answer.startswith(b"HTTP/1.1 200 ")


def in_force(states):
    """Which of the two it is. A listener whose descriptor could not be watched yet is tried again, so this waits."""
    def whole():
        seen = {state.name: set(state.doors().values()) for state in states}
        return next((state for state in states if seen[state.name] == {True} and all(
            values == {False} for name, values in seen.items() if name != state.name)), None)
    state = wait_until(whole, lambda: f"one of the two is in force: {[s.doors() for s in states]}")
    assert oct(os.stat(state.shared).st_mode & 0o777) == oct(int(state.mode, 8))
    shown = json.loads(state.ask_admin("GET", "/config").partition(b"\r\n\r\n")[2])
    assert sorted(shown["upstreams"]) == sorted([state.name, "secure"])
    return state


@pytest.fixture(scope="module")
def secure():
    with origin(tls=True) as address:
        yield address


@pytest.fixture(scope="module")
def plain():
    with origin() as address:
        yield address


@pytest.fixture(scope="module", params=[1, 2])
def daemon(request, tmp_path_factory, secure, plain):
    need_shim()
    d = Daemon(str(tmp_path_factory.mktemp("reload")), workers=request.param).started()
    d.workers = request.param
    d.states = [State(d, secure, plain, name) for name in "ab"]
    d.states[0].write()
    assert talk(d, b"POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", d.admin)
    d.port = d.states[0].port
    yield d
    d.stop()


@pytest.mark.parametrize("function, error, times", RELOAD,
                         ids=[f"{f}-{errno.errorcode.get(e, 'error')}-{t}" for f, e, t in RELOAD])
def test_a_reload_is_whole_or_not_at_all(daemon, secure, function, error, times):
    ever = 0
    for nth in calls():
        old = in_force(daemon.states)
        new = daemon.states[1 - daemon.states.index(old)]
        new.write()
        daemon.page.arm(function, error, times, nth)
        said = old.reload()
        fired = daemon.page.disarm()
        now = in_force(daemon.states)
        assert now is new or not said, f"call {nth}: it says that it went well: {daemon.stderr()[-2000:]}"
        daemon.port = now.port
        goes_on(daemon, secure, f"call {nth}")
        # Nothing of it is left that would be in the way of the next one.
        assert now.reload(), f"behind call {nth}: {daemon.stderr()[-2000:]}"
        assert in_force(daemon.states) is new
        daemon.port = new.port
        ever += fired
        if not fired:
            break
    assert ever > 0 or function in RARE, f"no call of {function} was made to fail"
