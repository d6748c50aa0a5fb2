"""Section 12: who called. Clients of other users and in other cgroups are told apart, seen and let through or not."""

import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from .harness import run, wait_until
from .harness.client import request
from .harness.users import NAMED, NAMELESS, Cgroup, Somebody, need_users


@pytest.fixture(name="people")
def _people():
    """{uid: Somebody} made on demand."""
    need_users()
    made = {}

    def person(uid):
        if uid not in made:
            made[uid] = Somebody(uid)
        return made[uid]
    yield person
    for each in made.values():
        each.leave()


@pytest.fixture(name="unit")
def _unit():
    """Somebody in a cgroup of these names."""
    made = []

    def somebody(*names):
        need_users()
        group = Cgroup(*names)
        made.append((group, Somebody(cgroup=group.path)))
        return made[-1][1]
    yield somebody
    for group, each in made:
        each.leave()
        group.remove()


@pytest.fixture(name="public")
def _public():
    """A folder that all users may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        yield folder


@contextlib.contextmanager
def effective(uid):
    """This thread is that user meanwhile: glibc's function would make all threads so."""
    libc, keep = ctypes.CDLL(None, use_errno=True), ctypes.c_uint(0xffffffff)
    setresuid = {"x86_64": 117, "aarch64": 147}.get(os.uname().machine)
    if not setresuid:
        pytest.skip("which number has setresuid() here?")
    assert libc.syscall(setresuid, keep, ctypes.c_uint(uid), keep) == 0
    try:
        yield
    finally:
        libc.syscall(setresuid, keep, ctypes.c_uint(0), keep)


def telling(stage, config=None, callers="user", **how):
    log = {"path": stage.path("access.log"), "format": "json"}
    return stage.carpool({"callers": callers, "accessLog": log, **(config or {})}, **how)


def logged(stage, count):
    """The access log's lines, once there are so many."""
    def lines():
        with open(stage.path("access.log"), encoding="utf-8") as file:
            found = file.read().splitlines()
        return found if len(found) >= count else None
    return [json.loads(line) for line in wait_until(lines, f"{count} lines in the access log")]


def ask(person, carpool, url, address=None):
    with person.client(address or carpool.address) as client:
        return client.get(url)


def rows(carpool):
    return {row["caller"]: row for row in json.loads(carpool.admin("/callers").body)["callers"]}


def name_of(uid):
    names = {entry.pw_uid: entry.pw_name for entry in NAMED}
    return names.get(uid, "root" if uid == 0 else f"uid:{uid}")


FLOOD, OTHER = (NAMED[0].pw_uid, NAMED[1].pw_uid) if len(NAMED) > 1 else (0, 0)
USERS = [NAMED[0].pw_uid, NAMED[1].pw_uid, NAMELESS, 0] if len(NAMED) > 1 else [0]


@pytest.mark.parametrize("workers", [1, 2])
def test_users_over_tcp(stage, people, workers):
    """for TCP from an address of this host from the kernel's socket table; named by the password database, else
    uid:N; two workers, the same promises"""
    origins = [stage.origin() for _ in range(2)]
    carpool = telling(stage, {"workers": workers, "defaults": {"maxTotalSockets": "Infinity"}})
    for uid in USERS:
        with people(uid).client(carpool.address) as client:
            for origin in origins:
                assert client.get(origin.url(f"/{uid}")).status == 200
    lines = logged(stage, 2 * len(USERS))
    assert [line["caller"] for line in lines] == [name_of(uid) for uid in USERS for _ in origins]
    assert {name: row["requests"] for name, row in rows(carpool).items()} == {name_of(uid): 2 for uid in USERS}


def test_users_over_ipv6_and_a_wildcard(stage, people):
    """the connection's four-tuple, whatever address the listener has"""
    origin = stage.origin()
    port = stage.ports.take()
    carpool = telling(stage, {"listen": [f"[::]:{port}", f"0.0.0.0:{port}"], "access": {"clients": ["127.0.0.0/8", "::1", "192.0.2.0/24"]}})
    uid = NAMED[0].pw_uid
    for host in ("127.0.0.1", "::1"):
        assert ask(people(uid), carpool, origin.url("/"), (host, port)).status == 200
    assert {line["caller"] for line in logged(stage, 2)} == {name_of(uid)}


def test_users_over_a_unix_socket(stage, people, public):
    """by SO_PEERCRED on unix listeners"""
    origin = stage.origin()
    path = f"{public}/proxy.sock"
    carpool = telling(stage, {"listen": [f"unix:{path}"]})
    for uid in USERS:
        assert ask(people(uid), carpool, origin.url("/"), path).status == 200
    assert [line["caller"] for line in logged(stage, len(USERS))] == [name_of(uid) for uid in USERS]


def test_text_log_and_off(stage):
    """access log `caller` (no such key with `off`)"""
    origin = stage.origin()
    log = stage.path("access.log")
    for callers, there in (("off", False), ("user", True)):
        carpool = stage.carpool({"callers": callers, "accessLog": {"path": log}})
        assert carpool.get(origin.url(f"/{callers}")).status == 200
        def line(word=callers):
            with open(log, encoding="utf-8") as file:
                return [each for each in file if f"/{word}" in each]
        found = wait_until(line, "the line")[0]
        assert (" caller=" in found) == there, found
        assert bool(json.loads(carpool.admin("/callers").body)["callers"]) == there
        assert ("carpool_caller_" in carpool.admin("/metrics").text) == there


@pytest.mark.parametrize("leave", ["close", "fin", "reset"])
def test_a_client_that_is_gone_is_nobody_else(stage, people, leave):
    """Only a socket that still has its owner counts: the kernel reports one in FIN_WAIT2 as root's"""
    origin = stage.origin()
    carpool = telling(stage, {"defaults": {"allow": ["root"]}})
    carpool.signal(signal.SIGSTOP)
    try:
        client = people(NAMED[0].pw_uid).client(carpool.address)
        client.ask(origin.url("/gone"))
        getattr(client, leave)()
    finally:
        carpool.signal(signal.SIGCONT)
    assert ask(people(0), carpool, origin.url("/root")).status == 200
    assert origin.targets == ["/root"]
    callers = [line["caller"] for line in logged(stage, 1) if "/gone" in line["target"]]
    assert set(callers) <= {"-", name_of(NAMED[0].pw_uid)}
    client.close()


def test_another_network_namespace_is_nobody(stage):
    """Not found: the caller is `-`. The daemon's own namespace does not have the client's socket"""
    unshare = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(
            unshare[:2] + ["true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, unshare -n and ip")
    path = stage.path("proxy.sock")
    carpool = telling(stage, {"listen": [f"unix:{path}"], "admin": {"listen": "off"}, "callers": "user"}, prefix=unshare)
    assert carpool.get("http://192.0.2.1/").status == 502
    assert logged(stage, 1)[0]["caller"] == "root"


def test_users_that_a_namespace_hides(stage, people):
    """PrivateUsers= maps foreign users to nobody: nobody is who all of them look like, so the caller is `-`"""
    unshare = ["unshare", "--user", "--map-root-user"]
    if subprocess.run(unshare + ["true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces")
    origin = stage.origin()
    carpool = telling(stage, prefix=unshare)
    for uid in (NAMED[0].pw_uid, 0):
        assert ask(people(uid), carpool, origin.url("/")).status == 200
    assert [line["caller"] for line in logged(stage, 2)] == ["-", "root"]
    assert "PrivateUsers" in carpool.stderr


def test_a_sandbox_without_netlink(stage, people):
    """Not found (no such support): the caller is `-`, and the log says why once"""
    origin = stage.origin()
    code = ("import ctypes, os, struct, sys\n"
            "rules = [(0x20, 0, 0, 0), (0x15, 0, 3, NR), (0x20, 0, 0, 16), (0x15, 0, 1, 16), (0x06, 0, 0, 0x00050000 | 97),"
            " (0x06, 0, 0, 0x7fff0000)]\n"
            "text = b''.join(struct.pack('HBBI', *rule) for rule in rules)\n"
            "room = ctypes.create_string_buffer(text, len(text))\n"
            "program = struct.pack('HxxxxxxQ', len(rules), ctypes.addressof(room))\n"
            "libc = ctypes.CDLL(None)\n"
            "assert libc.prctl(38, 1, 0, 0, 0) == 0\n"
            "assert libc.prctl(22, 2, program, 0, 0) == 0\n"
            "os.execvp(sys.argv[1], sys.argv[1:])\n")
    number = {"x86_64": 41, "aarch64": 198}.get(os.uname().machine)
    if not number:
        pytest.skip("which number has socket() here?")
    prefix = ["python3", "-c", code.replace("NR", str(number))]
    if subprocess.run(prefix + ["true"], capture_output=True, check=False).returncode:
        pytest.skip("needs seccomp")
    carpool = telling(stage, {"defaults": {"maxSockets": 3}}, prefix=prefix)
    for _ in range(3):
        assert ask(people(NAMED[0].pw_uid), carpool, origin.url("/")).status == 200
    assert {line["caller"] for line in logged(stage, 3)} == {"-"}
    assert "AF_NETLINK" in carpool.stderr and rows(carpool)["-"]["requests"] == 3


def test_a_unit_over_tcp_and_unix(stage, unit):
    """with `unit`, its cgroup, whose last component that ends in .service, .scope or .slice names it"""
    origin = stage.origin()
    path = stage.path("proxy.sock")
    gateway = {"match": "g.test", "address": [origin.authority], "listen": [f"unix:{path}"]}
    carpool = telling(stage, {"upstreams": {"g": gateway}}, callers="unit")
    name = f"carpool-test-{os.getpid()}"
    somebody = unit(f"{name}.slice", f"{name}.service", "inner")
    assert ask(somebody, carpool, origin.url("/")).status == 200
    with somebody.client(path) as client:
        assert client.ask("/", host="g.test").response().status == 200
    assert [line["caller"] for line in logged(stage, 2)] == [f"{name}.service"] * 2
    assert rows(carpool)[f"{name}.service"]["agents"] == {"default": 1, "g": 1}


def test_a_unit_that_a_unit_made_is_not_the_systems(stage, unit):
    """allow goes by the unit that the system's manager made: what stands below a service or scope may call itself
    as it likes"""
    origin = stage.origin()
    name = f"carpool-test-{os.getpid()}"
    carpool = telling(stage, {"upstreams": {
        "inner": {"match": "inner.test", "address": [origin.authority], "allow": [f"{name}-in.service"]},
        "outer": {"match": "outer.test", "address": [origin.authority], "allow": [f"{name}-out.service"]}}}, callers="unit")
    somebody = unit(f"{name}-out.service", f"{name}-in.service")
    assert ask(somebody, carpool, "http://inner.test/").status == 403
    assert ask(somebody, carpool, "http://outer.test/").status == 200
    assert {line["caller"] for line in logged(stage, 2)} == {f"{name}-in.service"}


def test_in_no_unit(stage, unit):
    """in no unit: the caller is `-`"""
    origin = stage.origin()
    carpool = telling(stage, {"defaults": {"allow": ["-"]}}, callers="unit")
    assert ask(unit(f"carpool-test-{os.getpid()}"), carpool, origin.url("/")).status == 200
    assert logged(stage, 1)[0]["caller"] == "-"


def test_allow(stage, people):
    """others get 403, http_request_denied, named in the log"""
    origin = stage.origin()
    first, second = NAMED[0], NAMED[1]
    carpool = telling(stage, {"upstreams": {
        "some": {"match": "some.test", "address": [origin.authority], "allow": [first.pw_name, f"uid:{NAMELESS}"]},
        "none": {"match": "none.test", "address": [origin.authority], "allow": ["-"]}}})
    for uid, status in ((first.pw_uid, 200), (NAMELESS, 200), (second.pw_uid, 403), (0, 403)):
        assert ask(people(uid), carpool, "http://some.test/").status == status, uid
    refused = ask(people(second.pw_uid), carpool, "http://none.test/")
    assert refused.status == 403 and refused.error == "http_request_denied"
    assert second.pw_name in refused.body.decode() and "none" in refused.body.decode()
    assert ask(people(second.pw_uid), carpool, origin.url("/")).status == 200
    assert re.search(rf"caller={second.pw_name} agent=none", carpool.stderr)
    wait_until(lambda: rows(carpool)[second.pw_name]["connections"] == 0, "its last connection is seen to end")
    assert rows(carpool)[second.pw_name] | {"agents": None} == {
        "caller": second.pw_name, "connections": 0, "requests": 3, "waiting": 0, "active": 0, "errors": 2, "agents": None,
        "notAllowed": {"some": 1, "none": 1}}
    assert rows(carpool)[second.pw_name]["agents"] == {"default": 1}
    shown = run("--server", f"127.0.0.1:{carpool.admin_port}", "callers", program="CARPOOLCTL").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith(second.pw_name + " ")]
    assert "  default 1, " in line and "some 1 (not allowed)" in line and "none 1 (not allowed)" in line and "no agent" not in line


def test_reload(stage, people):
    """reload: callers and allow apply live, to connections that are open too"""
    origin = stage.origin()
    first, second = NAMED[0], NAMED[1]
    carpool = telling(stage, callers="off")
    log = {"path": stage.path("access.log"), "format": "json"}
    with people(first.pw_uid).client(carpool.address) as one, people(second.pw_uid).client(carpool.address) as two:
        assert one.get(origin.url("/")).status == two.get(origin.url("/")).status == 200
        carpool.reload({"callers": "user", "accessLog": log, "defaults": {"allow": [first.pw_name]}})
        assert one.get(origin.url("/")).status == 200
        assert two.get(origin.url("/")).status == 403
        carpool.reload({"callers": "user", "accessLog": log, "defaults": {"allow": []}})
        assert two.get(origin.url("/")).status == 200
        assert set(rows(carpool)) == {first.pw_name, second.pw_name}
        assert "carpool_caller_requests_total{" in carpool.admin("/metrics").text
        carpool.reload({"callers": "off", "accessLog": log})
        assert one.get(origin.url("/")).status == 200
        assert rows(carpool) == {} and "carpool_caller_" not in carpool.admin("/metrics").text
    callers = [line.get("caller") for line in logged(stage, 6)]
    assert callers == [None, None, first.pw_name, second.pw_name, second.pw_name, None]


def test_live_figures(stage, people):
    """connections, waiting, active are of now"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"defaults": {"maxSockets": 1}})
    first, second = NAMED[0], NAMED[1]
    one, two = people(first.pw_uid).client(carpool.address), people(second.pw_uid).client(carpool.address)
    one.ask(origin.url("/1"))
    origin.wait_requests(1)
    two.ask(origin.url("/2"))
    carpool.wait_row(origin, requests=1)
    def now(name):
        row = rows(carpool)[name]
        return row["connections"], row["active"], row["waiting"]
    assert now(first.pw_name) == (1, 1, 0) and now(second.pw_name) == (1, 0, 1)
    text = carpool.admin("/metrics").text
    for entry in (first, second):
        assert f'carpool_caller_connections{{caller="{entry.pw_name}"}} 1\n' in text
        assert f'carpool_caller_requests_total{{caller="{entry.pw_name}"}} 1\n' in text
    origin.connections[0].reply(b"one")
    origin.wait_requests(2)
    origin.connections[0].reply(b"two")
    assert one.response().body + two.response().body == b"onetwo"
    one.close()
    two.close()
    wait_until(lambda: now(first.pw_name) == now(second.pw_name) == (0, 0, 0), "nobody is there")


def test_a_tunnel_has_a_caller(stage, people):
    """access log `caller`, of a tunnel too, whose line is written at its end"""
    origin = stage.origin(serve=lambda connection: connection.fill())
    carpool = telling(stage, {"access": {"connectPorts": [origin.port]}})
    client = people(NAMED[0].pw_uid).client(carpool.address)
    client.ask(origin.authority, method="CONNECT")
    assert client.read_response_head().status == 200
    assert rows(carpool)[NAMED[0].pw_name]["active"] == 1
    client.close()
    assert logged(stage, 1)[0]["caller"] == NAMED[0].pw_name


def test_many_callers_are_few_labels(stage, people):
    """the 50 busiest, others together under `*`"""
    people(0)
    origin = stage.origin()
    carpool = telling(stage)
    for uid in range(NAMELESS, NAMELESS + 60):
        with effective(uid):
            client = carpool.client()
        assert client.get(origin.url("/")).status == 200
    text = carpool.admin("/metrics").text
    assert len(re.findall(r'^carpool_caller_requests_total\{caller="uid:\d+"\} 1$', text, re.M)) == 50
    assert 'carpool_caller_requests_total{caller="*"} 10\n' in text
    # And maybe the user of these tests, who looked whether Carpool is there.
    assert len([name for name in rows(carpool) if name.startswith("uid:")]) == 60


def test_carpoolctl_callers(stage, people):
    """`carpoolctl callers`: most requests first"""
    origin = stage.origin()
    carpool = telling(stage)
    server = ["--server", f"127.0.0.1:{carpool.admin_port}"]
    assert "no callers" in run(*server, "callers", program="CARPOOLCTL").stdout
    for uid in (FLOOD, OTHER, FLOOD):
        assert ask(people(uid), carpool, origin.url("/")).status == 200
    lines = run(*server, "callers", program="CARPOOLCTL").stdout.splitlines()
    assert lines[0].split() == ["CALLER", "CONNECTIONS", "ACTIVE", "WAITING", "REQUESTS", "FAILED/REFUSED", "AGENTS"]
    assert [line.split()[0] for line in lines[1:]] == [name_of(FLOOD), name_of(OTHER)]
    assert lines[1].split()[-2:] == ["default", "2"]
    assert json.loads(run(*server, "--json", "callers", program="CARPOOLCTL").stdout) == json.loads(
        carpool.admin("/callers").body)


def test_carpoolctl_callers_names_the_busiest_agent_first(stage):
    """requests by agent; what was refused before one was chosen, too, so that they add up"""
    origin = stage.origin()
    carpool = stage.carpool({"callers": "user", "access": {"unmatched": "deny"},
                             "upstreams": {"api": {"match": "api.test", "address": [origin.authority]},
                                           "other": {"match": "other.test", "address": [origin.authority]}}})
    for url in ("http://other.test/", "http://api.test/", "http://api.test/"):
        assert carpool.get(url).status == 200
    assert carpool.get("http://unknown.test/").status == 403
    shown = run("--server", f"127.0.0.1:{carpool.admin_port}", "callers", program="CARPOOLCTL").stdout
    assert shown.splitlines()[1].endswith("     4               1  api 2, other 1, (no agent) 1"), shown


def test_what_is_refused_inside_connect_is_a_request_of_its_caller(stage):
    """requests and errors: a CONNECT whose inside was refused counts as both"""
    carpool = telling(stage)
    with carpool.client() as client:
        client.send(request("CONNECT", "a.test:80"))
        assert client.read_response_head().status == 200
        client.send(b"SSH-2.0-x\r\n")
        client.expect_end()
    (line,) = logged(stage, 1)
    assert (line["target"], line["error"]) == ("tunnel://a.test:80", "http_request_denied")
    (row,) = rows(carpool).values()
    assert (row["requests"], row["errors"]) == (1, 1)


def test_very_many_connections(stage, people):
    """otherwise at most one netlink exchange a connection: each of very many is known, and none is left behind"""
    people(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, hard // 3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count), hard))
    carpool = telling(stage, {"workers": 2})
    clients = []
    try:
        for uid in (FLOOD, 0):
            with effective(uid):
                for _ in range(count // 2):
                    clients.append(socket.create_connection(carpool.address))

        def connected():
            now = rows(carpool)
            return [now.get(name_of(uid), {"connections": 0})["connections"] for uid in (FLOOD, 0)]
        wait_until(lambda: connected() == [count // 2] * 2, lambda: f"all are known: {connected()}")
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: connected() == [0, 0], "nobody is there")


def test_another_host(stage):
    """a client from another host is its address"""
    ip = shutil.which("ip")
    name, near, far = f"cp{os.getpid() % 10**8}", "198.51.100.1", "198.51.100.2"
    if os.geteuid() != 0 or not ip or subprocess.run([ip, "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("needs root, ip and network namespaces")
    inside = [ip, "netns", "exec", name]
    try:
        for command in ([ip, "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name],
                        [ip, "addr", "add", f"{near}/30", "dev", f"{name}a"], [ip, "link", "set", f"{name}a", "up"],
                        inside + [ip, "addr", "add", f"{far}/30", "dev", f"{name}b"],
                        inside + [ip, "link", "set", f"{name}b", "up"]):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip(f"cannot do here: {' '.join(command)}")
        origin = stage.origin()
        port = stage.ports.take()
        carpool = telling(stage, {"listen": [f"{near}:{port}"], "access": {"clients": ["198.51.100.0/30"]},
                                  "defaults": {"allow": [far]}})
        code = (f"import socket; s = socket.create_connection(('{near}', {port}), 30); "
                f"s.sendall(b'GET {origin.url('/')} HTTP/1.0\\r\\n\\r\\n'); print(s.recv(99).decode())")
        done = subprocess.run(inside + ["python3", "-c", code], capture_output=True, text=True, check=False)
        assert " 200 " in done.stdout, done.stderr
        assert logged(stage, 1)[0]["caller"] == far
        assert carpool.get(origin.url("/")).status == 403       # this host's own address is no other host
    finally:
        subprocess.run([ip, "netns", "del", name], check=False)
        subprocess.run([ip, "link", "del", f"{name}a"], capture_output=True, check=False)
