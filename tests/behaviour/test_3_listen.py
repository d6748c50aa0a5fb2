"""Section 3: the listeners and the options of `server`, towards the clients."""

import os
import re
import signal
import socket
import stat
import time

import pytest

from .harness import PATIENCE, Client, run, stays, wait_until
from .harness.client import request


def test_several_listeners(stage):
    """listen: [127.0.0.1:3128] # host:port, [v6]:port, unix:/path"""
    origin = stage.origin()
    first, second = stage.ports.take(), stage.ports.take()
    path = stage.path("carpool.sock")
    carpool = stage.carpool({"listen": [f"127.0.0.1:{first}", f"127.0.0.2:{second}", f"unix:{path}"]})
    for address in (("127.0.0.1", first), ("127.0.0.2", second), path):
        assert carpool.client(address).get(origin.url("/")).status == 200
    assert origin.accepted == 1


def test_a_listener_of_ipv6(stage):
    """listen: [...] [v6]:port"""
    port = stage.ports.take()
    try:
        socket.create_server(("::1", port), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    origin = stage.origin(host="::1")
    carpool = stage.carpool({"listen": [f"[::1]:{port}"]})
    assert carpool.get(origin.url("/")).status == 200
    assert origin.requests[0].fields.get("Host") == f"[::1]:{origin.port}"


@pytest.mark.parametrize("suffix, mode", [("", 0o666), ("?mode=0660", 0o660), ("?mode=0600", 0o600)])
def test_the_mode_of_a_unix_listener(stage, suffix, mode):
    """unix:/path?mode=0660 (default 0666 here, 0600 for admin"""
    path = stage.path("carpool.sock")
    old = os.umask(0o077)
    try:
        stage.carpool({"listen": [f"unix:{path}{suffix}"]})
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


def test_the_mode_of_a_unix_listener_of_admin(stage):
    """(default 0666 here, 0600 for admin"""
    path = stage.path("admin.sock")
    carpool = stage.carpool({"admin": {"listen": f"unix:{path}"}})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with carpool.client(path) as client:
        assert client.get("/healthz", host="localhost").status == 200


def test_a_dead_socket_file_is_replaced(stage):
    """a dead socket file is replaced, a live one is an error"""
    path = stage.path("carpool.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    origin = stage.origin()
    carpool = stage.carpool({"listen": [f"unix:{path}"]})
    assert carpool.get(origin.url("/")).status == 200


def test_a_live_socket_file_is_an_error(stage):
    """a live one is an error"""
    path = stage.path("carpool.sock")
    origin = stage.origin()
    carpool = stage.carpool({"listen": [f"unix:{path}"]})
    file = stage.write("second.yaml", f"listen: 'unix:{path}'\nadmin: {{listen: off}}\n")
    second = run("-c", file)
    assert second.returncode == 1 and path in second.stderr
    assert carpool.get(origin.url("/")).status == 200


def test_another_file_is_not_replaced(stage):
    """a dead socket file is replaced: a file of another kind is not"""
    path = stage.write("precious.txt", "keep me")
    done = run("-c", stage.write("over.yaml", f"listen: 'unix:{path}'\nadmin: {{listen: off}}\n"))
    assert done.returncode == 1 and path in done.stderr
    with open(path, encoding="utf-8") as file:
        assert file.read() == "keep me"


@pytest.mark.parametrize("config", ["listen: 0.0.0.0:{}", "listen: '[::]:{}'", "admin: {{listen: '0.0.0.0:{}'}}"])
def test_an_exposed_listener_is_a_startup_error(stage, config):
    """A listener that is reachable from outside with this default is a startup error"""
    done = run("-c", stage.write("exposed.yaml", config.format(stage.ports.take())))
    assert done.returncode == 1 and "clients" in done.stderr


def test_too_many_clients(stage):
    """maxConnections: 10000"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"maxConnections": 2}})
    first, second = carpool.client(), carpool.client()
    assert first.get(origin.url("/")).status == second.get(origin.url("/")).status == 200
    refused = carpool.client()
    response = refused.get(origin.url("/"))
    assert response.status == 503 and response.error == "proxy_internal_response"
    assert response.fields.get("Connection") == "close"
    refused.expect_end()
    first.close()
    wait_until(lambda: carpool.get(origin.url("/")).status == 200, "a place is free again")


@pytest.mark.parametrize("workers", [1, 2])
def test_who_was_refused_takes_no_place(stage, workers):
    """maxConnections: of those that are connected, a client that was refused and lingers is none"""
    origin = stage.origin()
    carpool = stage.carpool({"workers": workers, "server": {"maxConnections": 2}})
    first, second = carpool.client(), carpool.client()
    assert first.get(origin.url("/")).status == second.get(origin.url("/")).status == 200
    refused = [carpool.client() for _ in range(5)]
    assert [client.response().status for client in refused] == [503] * 5

    def closed():
        (line,) = re.findall(r'^carpool_client_connections_closed_total{reason="client"} (\d+)$', carpool.admin("/metrics").text, re.M)
        return int(line)
    before = closed()
    first.close()
    wait_until(lambda: closed() > before, "the end of the first one is seen")
    assert carpool.client().get(origin.url("/")).status == 200


def test_the_headers_timeout(stage):
    """headersTimeout: 60s # first byte of a request (or accept) to the end of its head -> 408"""
    carpool = stage.carpool({"server": {"headersTimeout": "1s"}})
    start = time.monotonic()
    client = carpool.client()
    client.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a.te")
    response = client.response()
    assert response.status == 408 and response.error == "http_request_error"
    assert response.fields.get("Connection") == "close"
    client.expect_end()
    assert time.monotonic() - start > 0.95


def test_the_headers_timeout_is_not_put_off_by_bytes(stage):
    """headersTimeout [...] to the end of its head: bytes that trickle in do not extend it"""
    carpool = stage.carpool({"server": {"headersTimeout": "1s"}})
    client = carpool.client()
    client.send(b"GET http://a.test/ HTTP/1.1\r\nX: ")
    start = time.monotonic()
    while not client.closed_by_peer(0.02) and time.monotonic() - start < PATIENCE:
        try:
            client.send(b"x")
        except OSError:
            break
    assert b" 408 " in client.left()[:20]


def test_a_client_that_sends_nothing(stage):
    """client too slow (not one byte since it connected: closed without an answer)"""
    carpool = stage.carpool({"server": {"headersTimeout": "200ms"}})
    carpool.client().expect_end()


def test_the_headers_timeout_of_a_second_request(stage):
    """headersTimeout: [...] first byte of a request: idling before it does not count"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"headersTimeout": "1500ms", "keepAliveTimeout": "60s"}})
    client = carpool.client()
    assert client.get(origin.url("/")).status == 200
    assert not client.closed_by_peer(1.7)
    assert client.get(origin.url("/")).status == 200
    client.send(b"GET http://a.test/ HTTP/1.1\r\n")
    assert client.response().status == 408


def test_the_request_timeout(stage):
    """requestTimeout: 300s # first byte to the end of its body -> 408"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"requestTimeout": "300ms"}})
    client = carpool.client()
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", 10)]) + b"12345")
    response = client.response()
    assert response.status == 408 and response.error == "http_request_error"
    client.expect_end()
    assert not origin.requests
    carpool.wait_row(origin, sockets=0, freeSockets=0)


@pytest.mark.parametrize("begin, end", [(b"\r\n", b""), (b"\r\n\r", b"\n")])
def test_empty_lines_are_no_request(stage, begin, end):
    """headersTimeout: [...] first byte of a request: what RFC 9112 2.2 lets a client send behind one is none"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"headersTimeout": "500ms", "keepAliveTimeout": "60s"}})
    client = carpool.client()
    assert client.get(origin.url("/")).status == 200
    client.send(begin)
    stays(lambda: not client.answered(), "nothing is answered", 1.5)
    client.send(end)
    assert client.get(origin.url("/")).status == 200


def test_the_request_timeout_stands_still_while_carpool_does_not_read(stage):
    """requestTimeout: [...] stands still while Carpool itself does not read"""
    def serve(connection):
        head = connection.read_request_head()
        connection.note(head)
        stays(lambda: connection.is_open, "Carpool waits for one that does not read", 3.5)
        connection.read_body(head)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    origin = stage.origin(serve=serve)
    carpool = stage.carpool({"server": {"requestTimeout": "3s"}})
    client = carpool.client()
    size = 16 << 20     # more than every buffer on the way holds
    client.send(request("POST", origin.url("/"), fields=[("Content-Length", size)]) + b"x" * (size - 10))
    assert not client.closed_by_peer(0.3)   # now Carpool waits for the client, but for this long alone
    client.send(b"y" * 10)
    assert client.response().status == 200


def test_a_client_that_does_not_read(stage):
    """timeout: 60s # a client that takes no byte of what is ready for it is cut"""
    body = b"x" * (32 << 20)
    origin = stage.origin(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    carpool = stage.carpool({"server": {"timeout": "400ms"}})
    client = carpool.client(receive_buffer=4096)
    client.ask(origin.url("/"))
    start = time.monotonic()
    origin.wait_accepted(1)
    origin.connections[0].wait_ended()
    assert time.monotonic() - start > 0.35
    carpool.wait_row(origin, sockets=0, freeSockets=0)


def test_a_client_that_waits_is_not_cut(stage):
    """timeout: [...] what is ready for it: a slow origin is not the client's fault"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"server": {"timeout": "200ms"}})
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    assert not client.closed_by_peer(0.6)
    asked.connection.reply()
    assert client.response().status == 200


def test_the_keep_alive_timeout_is_advertised(stage):
    """keepAliveTimeout: 5s # idle after a response; advertised as Keep-Alive: timeout=5"""
    origin = stage.origin()
    response = stage.carpool().get(origin.url("/"))
    assert response.fields.get("Keep-Alive") == "timeout=5"


def test_own_answers_advertise_it_too(stage):
    """idle after a response, Carpool's own as well"""
    carpool = stage.carpool({"access": {"unmatched": "deny"}})
    client = carpool.client()
    assert client.get("http://other.test/").fields.get("Keep-Alive") == "timeout=5"
    answer = client.get("http://other.test/", fields=[("Connection", "close")])
    assert answer.fields.get("Connection") == "close" and not answer.fields.get("Keep-Alive")


def test_the_keep_alive_timeout_and_its_buffer(stage):
    """keepAliveTimeoutBuffer: 1s # added to the real timer, not to what is advertised"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"keepAliveTimeout": "1s", "keepAliveTimeoutBuffer": "300ms"}})
    client = carpool.client()
    start = time.monotonic()
    response = client.get(origin.url("/"))
    assert response.fields.get("Keep-Alive") == "timeout=1"
    client.expect_end()
    assert time.monotonic() - start > 1.25


def test_a_request_that_came_in_time_is_no_reason_to_close(stage):
    """keepAliveTimeout: idle [...]: a connection on which a request waits is not, though nobody looked at it in time"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"keepAliveTimeout": "3s", "keepAliveTimeoutBuffer": 0}})
    client = carpool.client()
    assert client.get(origin.url("/")).status == 200
    carpool.signal(signal.SIGSTOP)      # as a machine that sleeps, or one that is very busy
    client.ask(origin.url("/in-time"))
    stays(lambda: not client.answered(), "it sleeps", 3.1)
    carpool.signal(signal.SIGCONT)
    assert client.response().fields.get("X-Target") == "/in-time"


def test_keep_alive_towards_clients(stage):
    """keepAliveTimeout: idle after a response: a connection serves many requests until then"""
    origin = stage.origin()
    client = stage.carpool().client()
    for number in range(20):
        assert client.get(origin.url(f"/{number}")).status == 200
    assert origin.accepted == 1


def test_max_requests_of_a_client_connection(stage):
    """maxRequestsPerSocket: 0 # the last allowed response says Connection: close"""
    origin = stage.origin()
    client = stage.carpool({"server": {"maxRequestsPerSocket": 3}}).client()
    said = [client.get(origin.url("/")).fields.get("Connection") for _ in range(3)]
    assert said[0] != "close" and said[1] != "close" and said[2] == "close"
    client.expect_end()
    assert origin.accepted == 1


def head_of(size):
    """A request head of exactly this many bytes."""
    start = b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n"
    return lambda port: (start % port) + b"X: %s\r\n\r\n" % (b"a" * (size - len(start % port) - 7))


@pytest.mark.parametrize("limit", ["1KiB", "16KiB"])
def test_the_header_size(stage, limit):
    """maxHeaderSize: 16KiB # 1KiB to 1MiB; a larger head -> 431 (a larger request line -> 414)"""
    size = int(limit[:-3]) * 1024
    origin = stage.origin()
    carpool = stage.carpool({"server": {"maxHeaderSize": limit}})
    assert len(head_of(size)(origin.port)) == size
    assert carpool.raw(head_of(size)(origin.port)).status == 200
    large = carpool.raw(head_of(size + 1)(origin.port))
    assert large.status == 431 and large.error == "http_request_error"
    line = carpool.raw(b"GET http://a.test/" + b"a" * size + b" HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert line.status == 414 and line.error == "http_request_error"
    assert len(origin.requests) == 1


def test_the_header_size_of_a_response(stage):
    """the same two hold for a response's head"""
    origin = stage.origin(lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " +
                          b"a" * int(request.target[1:]) + b"\r\n\r\n")
    carpool = stage.carpool({"server": {"maxHeaderSize": "2KiB"}})
    assert carpool.get(origin.url("/1900")).status == 200
    response = carpool.get(origin.url("/2048"))
    assert response.status == 502 and response.error == "http_response_header_section_size"


@pytest.mark.parametrize("extra, status", [(8, 200), (9, 431)])
def test_the_headers_count(stage, extra, status):
    """maxHeadersCount: 100 # 1 to 1000; more fields -> 431"""
    origin = stage.origin()
    carpool = stage.carpool({"server": {"maxHeadersCount": 9}})
    response = carpool.get(origin.url("/"), fields=[(f"X-{n}", n) for n in range(extra)])
    assert response.status == status
    assert len(origin.requests) == (status == 200)


def test_the_headers_count_of_a_response(stage):
    """the same two hold for a response's head"""
    origin = stage.origin(lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" +
                          b"X: y\r\n" * int(request.target[1:]) + b"\r\n")
    carpool = stage.carpool({"server": {"maxHeadersCount": 9}})
    assert carpool.get(origin.url("/8")).status == 200
    response = carpool.get(origin.url("/9"))
    assert response.status == 502 and response.error == "http_response_header_section_size"


@pytest.mark.parametrize("delay, timer", [("off", "00"), ("100s", "02")])
def test_tcp_keepalive_towards_clients(stage, delay, timer):
    """keepAliveInitialDelay: off # TCP keep-alive probes on client connections"""
    origin = stage.origin()
    # The kernel's table is long where many tests ran before, and takes seconds to read.
    carpool = stage.carpool({"server": {"keepAliveInitialDelay": delay, "keepAliveTimeout": "10m"}})
    client = carpool.client()
    assert client.get(origin.url("/")).status == 200
    port = client.sock.getsockname()[1]

    def timers():
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file.read().splitlines()[1:]]
        return [row[5][:2] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
    wait_until(lambda: timers() == [timer], lambda: f"{timer}: {timers()}")


def test_an_idle_client_costs_little(stage):
    """An idle client connection holds no buffer."""
    carpool = stage.carpool()
    if carpool.sanitized:
        pytest.skip("a sanitizer's memory figures mean nothing")
    origin = stage.origin()
    carpool.get(origin.url("/"))
    before = carpool.resident()
    clients = [Client(carpool.address) for _ in range(400)]
    for client in clients:
        client.get(origin.url("/"))
    grown = carpool.resident() - before
    for client in clients:
        client.close()
    assert grown < 400 * 4096, f"{grown // 400} bytes each"


def test_no_admin_listener(stage):
    """admin: listen: [...] or off"""
    carpool = stage.carpool({"admin": {"listen": "off"}})
    with pytest.raises(ConnectionRefusedError):
        carpool.admin("/healthz")


def test_clients_of_admin(stage):
    """admin: clients: [...] as access.clients, for this listener"""
    port = stage.ports.take()
    carpool = stage.carpool({"admin": {"listen": f"127.0.0.1:{port}", "clients": ["127.0.0.2"]}})
    for source, status in (("127.0.0.2", 200), ("127.0.0.1", 403)):
        client = carpool.client(("127.0.0.1", port), source=source)
        assert client.get("/healthz", host="127.0.0.1").status == status


@pytest.mark.parametrize("host, status", [("127.0.0.1", 200), ("localhost:99", 200), ("[::1]:3129", 200),
                                          ("admin.test", 200), ("ADMIN.test:3129", 200), ("evil.test", 403)])
def test_hosts_of_admin(stage, host, status):
    """admin: hosts: [] # names accepted in Host beside IP literals and localhost"""
    port = stage.ports.take()
    carpool = stage.carpool({"admin": {"listen": f"127.0.0.1:{port}", "hosts": ["admin.test"]}})
    assert carpool.client(("127.0.0.1", port)).get("/healthz", host=host).status == status
