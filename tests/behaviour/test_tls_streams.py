"""Section 6 and the data path: ends with and without close_notify, large records, key updates, renegotiation."""

import hashlib
import os
import re
import socket
import subprocess
import threading

import pytest

from .harness import PATIENCE, Reset, Truncated, wait_until
from .harness.certificates import certificates
from .harness.origin import answer
from .harness.tls import V12, V13, RecordSocket, https_key, secure, server_context, tls_origin

KEY_UPDATE = rb">>> [^\n]*KeyUpdate"    # one that the server sent, in what -msg prints
VERSIONS = pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])


def ends_with(data, notify):
    """A script: a request, these bytes, and the end with or without close_notify."""
    def respond(request):
        request.connection.send(data)
        if notify:
            request.connection.sock.close_notify()
        request.connection.fin()
    return respond


@VERSIONS
@pytest.mark.parametrize("notify", [True, False], ids=["notify", "bare"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_delimited_response_that_is_whole(stage, framing, notify, versions):
    """A close without close_notify in a length-delimited response is an error only if bytes are missing"""
    data = (answer(b"whole") if framing == "length" else
            answer(b"5\r\nwhole\r\n0\r\n\r\n", fields=[("Transfer-Encoding", "chunked")], length=False))
    origin = tls_origin(stage, ends_with(data, notify), versions=versions)
    carpool = stage.carpool(secure())
    for number in range(3):
        response = carpool.get(origin.url(f"/{number}"), method="POST", body=b"x")
        assert (response.status, response.text) == (200, "whole")
        wait_until(lambda: carpool.row(https_key(origin), "api")["freeSockets"] == 0, "the socket is gone")
    assert origin.accepted == 3


@VERSIONS
@pytest.mark.parametrize("notify", [True, False], ids=["notify", "bare"])
@pytest.mark.parametrize("data", [answer(b"a" * 100)[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
                                  b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n"],
                         ids=["length", "chunked", "trailers"])
def test_a_delimited_response_that_is_short(stage, data, notify, versions):
    origin = tls_origin(stage, ends_with(data, notify), versions=versions)
    with pytest.raises((Truncated, Reset)):
        stage.carpool(secure()).get(origin.url("/"))


@VERSIONS
def test_a_close_delimited_response_with_close_notify(stage, versions):
    origin = tls_origin(stage, ends_with(answer(b"to the end", length=False), True), versions=versions)
    response = stage.carpool(secure()).get(origin.url("/"))
    assert response.text == "to the end" and response.framing == "chunked"


@VERSIONS
def test_a_close_delimited_response_without_close_notify(stage, versions):
    """6: TLS closed without close_notify under a close-delimited body | cut"""
    origin = tls_origin(stage, ends_with(answer(b"to the e", length=False), False), versions=versions)
    carpool = stage.carpool(secure())
    with pytest.raises((Truncated, Reset)):
        carpool.get(origin.url("/"))
    wait_until(lambda: "close_notify" in carpool.stderr, "the log says why")


def test_a_close_delimited_response_to_http_1_0_without_close_notify(stage):
    """An HTTP/1.0 client sees no framing: the cut must be a reset."""
    origin = tls_origin(stage, ends_with(answer(b"to the e", length=False), False))
    client = stage.carpool(secure()).ask(origin.url("/"), version="1.0")
    with pytest.raises(Reset):
        client.response()


def test_an_end_before_the_answer(stage):
    origin = tls_origin(stage, ends_with(b"", False))
    response = stage.carpool(secure()).get(origin.url("/"), method="POST", body=b"x")
    assert (response.status, response.error) == (502, "connection_terminated")


@VERSIONS
@pytest.mark.parametrize("notify", [True, False], ids=["notify", "bare"])
def test_a_free_socket_that_ends_leaves_the_pool(stage, notify, versions):
    """5.5: when its peer closes [...] it leaves the pool at once"""
    origin = tls_origin(stage, versions=versions)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/")).status == 200
    carpool.wait_row(https_key(origin), "api", freeSockets=1)
    if notify:
        origin.connections[0].sock.close_notify()
    else:
        origin.connections[0].fin()
    carpool.wait_retired(https_key(origin), "peer-closed", agent="api")
    assert carpool.get(origin.url("/"), method="POST", body=b"x").status == 200


def test_data_on_a_free_socket(stage):
    def respond(request):       # both from the thread that reads: an SSL object has but one at a time
        request.connection.send(answer(b"ok"))
        answered.wait(PATIENCE)
        request.connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    answered = threading.Event()
    origin = tls_origin(stage, respond)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/")).status == 200
    answered.set()
    carpool.wait_retired(https_key(origin), "unexpected-data", agent="api")


def test_a_record_that_is_none_on_a_free_socket(stage):
    """No end of the origin's, of which its idle limit would be learned"""
    origin = tls_origin(stage)
    carpool = stage.carpool(secure())
    assert carpool.get(origin.url("/")).status == 200
    carpool.wait_row(https_key(origin), "api", freeSockets=1)
    os.write(origin.connections[0].sock.tls.fileno(), b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    carpool.wait_retired(https_key(origin), "error", agent="api")


def test_data_behind_the_response_in_one_record(stage):
    """5.4: no byte is left over"""
    origin = tls_origin(stage, lambda request: answer(b"ok") + b"HTTP/1.1 200 OK\r\n\r\nevil")
    carpool = stage.carpool(secure())
    for _ in range(3):
        assert carpool.get(origin.url("/")).text == "ok"
    assert origin.accepted == 3 and carpool.retired(https_key(origin), "api") == {"unexpected-data": 3}


@pytest.fixture(name="records")
def make_records(stage):
    """(origin, carpool): the origin's scripts send records by `sock.record()`."""
    def make(respond, versions):
        origin = stage.origin(respond, wrap=lambda sock: RecordSocket(sock, server_context(versions=versions, tickets=0)))
        return origin, stage.carpool(secure())
    return make


PARTS = pytest.mark.parametrize("part", [1, 5, 20, -1])


@VERSIONS
@PARTS
def test_part_of_a_record_behind_the_response(records, part, versions):
    """Its rest would be the answer to the next request, and each after it the answer to the one before."""
    def respond(request):
        sock = request.connection.sock
        first, second = sock.record(answer(b"ok")), sock.record(answer(b"foreign"))
        request.connection.send(held.pop(sock, b"") + first + second[:part])
        held[sock] = second[part:]
    held = {}
    origin, carpool = records(respond, versions)
    for _ in range(3):
        assert carpool.get(origin.url("/")).text == "ok"
    assert origin.accepted == 3 and carpool.retired(https_key(origin), "api") == {"unexpected-data": 3}


@VERSIONS
@PARTS
def test_part_of_a_record_on_a_free_socket(records, part, versions):
    def respond(request):
        sock = request.connection.sock
        request.connection.send(sock.record(answer(b"ok")))
        answered.wait(PATIENCE)
        request.connection.send(sock.record(answer(b"foreign"))[:part])
    answered = threading.Event()
    origin, carpool = records(respond, versions)
    assert carpool.get(origin.url("/")).status == 200
    carpool.wait_row(https_key(origin), "api", freeSockets=1)
    answered.set()
    carpool.wait_retired(https_key(origin), "unexpected-data", agent="api")


@VERSIONS
@PARTS
def test_part_of_a_record_on_a_socket_that_was_not_used_yet(stage, part, versions):
    """It may be of a ticket, for which the socket is kept; no request gets it before the rest has come."""
    def speak_first(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)    # or the part may wait for an acknowledgement
        sock = RecordSocket(sock, server_context(versions=versions, tickets=0))
        if first.acquire(blocking=False):
            unasked = sock.record(answer(b"foreign"))
            sock.sendall(unasked[:part])
            held[sock] = unasked[part:]
            spoken.set()
        return sock

    def respond(request):
        sock = request.connection.sock
        request.connection.send(held.pop(sock, b"") + sock.record(answer(b"ok")))
    held, first, spoken = {}, threading.Lock(), threading.Event()
    origin = stage.origin(respond, wrap=speak_first)
    carpool = stage.carpool(secure({"servername": "127.0.0.1"}, "u.test", address=[origin.authority], minFreeSockets=1))
    assert spoken.wait(PATIENCE)
    carpool.wait_row("https://u.test:443", "api", freeSockets=1)
    assert carpool.get("http://u.test/").text == "ok"
    carpool.wait_retired("https://u.test:443", "unexpected-data", agent="api")


# The data path


@VERSIONS
@pytest.mark.parametrize("size", [16384, 16385, 65536, 300_000, 5_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_records_larger_than_a_read(stage, size, framing, versions):
    """SSL_pending drained (no stall when a record holds more than one read)"""
    body = os.urandom(size)
    data = (answer(body) if framing == "length" else
            answer(b"%x\r\n%b\r\n0\r\n\r\n" % (size, body), fields=[("Transfer-Encoding", "chunked")], length=False))
    origin = tls_origin(stage, lambda request: data, versions=versions)
    carpool = stage.carpool(secure())
    for _ in range(3):
        assert carpool.get(origin.url("/")).body == body
    assert origin.accepted == 1


@VERSIONS
def test_one_byte_a_record(stage, versions):
    data = answer(b"x" * 200)
    origin = tls_origin(stage, lambda request: request.connection.send_slowly(data, 0), versions=versions)
    assert stage.carpool(secure()).get(origin.url("/")).body == b"x" * 200


def digest(body):
    return hashlib.sha256(body).hexdigest().encode()


@VERSIONS
@pytest.mark.parametrize("size", [1, 16384, 3_000_000])
def test_uploads(stage, size, versions):
    body = os.urandom(size)
    origin = tls_origin(stage, lambda request: answer(digest(request.body)), versions=versions)
    carpool = stage.carpool(secure())
    for _ in range(2):
        assert carpool.get(origin.url("/"), method="POST", body=body).body == digest(body)
    assert origin.accepted == 1


def test_an_upload_meets_back_pressure(stage):
    """4.3: a slow reader slows the writer, whatever the size"""
    gate = []

    def serve(connection):
        request = connection.read_request_head()
        connection.note(request)
        wait_until(lambda: gate, "the test lets go", 30)
        connection.read_body(request)
        connection.send(answer(digest(request.body)))
    origin = tls_origin(stage, serve=serve)
    carpool = stage.carpool(secure())
    client = carpool.client()
    body = os.urandom(1 << 20) * 32
    client.send(f"POST {origin.url('/')} HTTP/1.1\r\nHost: {origin.authority}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    before, sent = carpool.resident(), 0
    client.sock.settimeout(0.7)
    try:
        while sent < len(body):
            sent += client.sock.send(body[sent:sent + 65536])
    except TimeoutError:
        pass
    assert sent < len(body)
    if not carpool.sanitized:
        assert carpool.resident() - before < 4 << 20
    gate.append(True)
    client.sock.settimeout(PATIENCE)
    client.sock.sendall(body[sent:])
    assert client.read_response("POST").body == digest(body)


def test_a_download_meets_back_pressure(stage):
    body = os.urandom(1 << 20) * 32
    origin = tls_origin(stage, lambda request: answer(body))
    carpool = stage.carpool(secure())
    before = carpool.resident()
    client = carpool.ask(origin.url("/"))
    head = client.read_response_head()
    wait_until(lambda: carpool.row(https_key(origin), "api")["sockets"] == 1, "it is active")
    if not carpool.sanitized:
        assert carpool.resident() - before < 4 << 20
    assert client.read_body(head, "GET").body == body


def test_both_ways_at_once(stage):
    """4.3: Bodies stream in both directions at once"""
    def serve(connection):
        request = connection.read_request_head()
        connection.note(request)
        connection.send(answer(length=False, fields=[("Content-Length", 200 * 1000)])[:-2])
        for _ in range(200):
            connection.send(connection.exactly(1000))
    origin = tls_origin(stage, serve=serve)
    client = stage.carpool(secure()).client()
    client.send(f"POST {origin.url('/')} HTTP/1.1\r\nHost: {origin.authority}\r\nContent-Length: 200000\r\n\r\n".encode())
    client.send(b"u" * 1000)
    assert client.read_response_head().status == 200


# Peers of OpenSSL's own: key updates, renegotiation


class Peer:
    """`openssl s_server` whose answers and commands are typed by the test."""

    def __init__(self, stage, *options):
        pair = certificates().local
        self.port = stage.ports.take()
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", pair.cert, "-key",
                                         pair.key, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.said = b""
        self.wait_said(b"ACCEPT")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def read(self):
        self.said += self.process.stdout.read() or b""
        return self.said

    def wait_said(self, word, count=1):
        wait_until(lambda: len(re.findall(word, self.read())) >= count, lambda: f"{count} times {word} in {self.said[-2000:]}")

    def type(self, data):
        self.process.stdin.write(data)

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def peer(stage):
    made = []

    def start(*options):
        made.append(Peer(stage, *options))
        return made[-1]
    yield start
    for each in made:
        each.close()


@pytest.mark.parametrize("command", [b"k\n", b"K\n"], ids=["own", "both"])
def test_key_updates(stage, peer, command):
    """key updates handled, on a free socket and within a response"""
    server = peer("-tls1_3", "-msg")
    carpool = stage.carpool(secure())
    for number in range(1, 4):
        client = carpool.ask(server.url)
        server.wait_said(rb"GET / HTTP/1\.1", number)
        server.type(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        wait_until(lambda: client.answered(), "the head comes")  # pylint: disable=cell-var-from-loop
        server.type(command)
        server.wait_said(KEY_UPDATE, 2 * number - 1)
        server.type(b"67890")
        assert client.response().body == b"1234567890"
        carpool.wait_row(f"https://127.0.0.1:{server.port}", "api", freeSockets=1)
        server.type(command)    # while it is free
        server.wait_said(KEY_UPDATE, 2 * number)
    row = carpool.row(f"https://127.0.0.1:{server.port}", "api")
    assert (row["socketsOpened"], row["reusedTotal"]) == (1, 2)


def test_a_flood_of_key_updates(stage, peer):
    """from an origin: each costs a derivation, and OpenSSL reads on for as long as they come"""
    server = peer("-tls1_3", "-msg")
    carpool = stage.carpool(secure())
    client = carpool.ask(server.url)
    server.wait_said(rb"GET / HTTP/1\.1")
    for number in range(101):
        server.type(b"k\n")
        wait_until(lambda: client.answered() or len(re.findall(KEY_UPDATE, server.read())) > number,  # pylint: disable=cell-var-from-loop
                   "another key update, or an answer")
        if client.answered():
            break
    response = client.response()
    assert (response.status, response.error) == (502, "tls_protocol_error")
    assert "key updates" in response.text


def test_renegotiation_is_refused(stage, peer):
    """renegotiation refused"""
    server = peer("-tls1_2")
    carpool = stage.carpool(secure())
    client = carpool.ask(server.url)
    server.wait_said(rb"GET / HTTP/1\.1")
    server.type(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert client.response().text == "ok"
    carpool.wait_row(f"https://127.0.0.1:{server.port}", "api", freeSockets=1)
    server.type(b"r\n")
    server.wait_said(b"no renegotiation")
    assert carpool.running


# Secrets


def test_no_secret_in_any_log(stage):
    """no TLS secret in any log"""
    pair = certificates().leaf(common_name="a client")
    origin = tls_origin(stage, client_ca=certificates().ca)
    keylog = stage.path("keylog")
    carpool = stage.carpool(secure({"cert": pair.cert, "key": pair.key}, extra={"log": {"level": "debug"}, "accessLog": {"path": "-"}}),
                            env={"SSLKEYLOGFILE": keylog})
    fields = [("Authorization", "Bearer hunter2"), ("Cookie", "hunter3")]
    for _ in range(3):
        assert carpool.get(origin.url("/"), fields=fields, method="POST", body=b"hunter4").status == 200
    bad = tls_origin(stage, pair=certificates().expired)
    assert carpool.get(bad.url("/"), fields=fields).status == 502
    said = carpool.stderr + carpool.stdout + carpool.admin("/agents").text + carpool.admin("/config").text
    assert not os.path.exists(keylog)
    secrets = ["hunter", "PRIVATE KEY", *[line for line in pair.text("key").splitlines() if len(line) > 30]]
    assert not [secret for secret in secrets if secret in said]


def test_the_half_close_of_a_client(stage):
    """4.8: A FIN behind a complete request is a half-close: the client still gets the response."""
    origin = tls_origin(stage, manual=True)
    carpool = stage.carpool(secure())
    client = carpool.ask(origin.url("/"))
    client.sock.shutdown(socket.SHUT_WR)
    origin.take().connection.reply(b"still")
    assert client.response().text == "still"
    carpool.wait_row(https_key(origin), "api", freeSockets=1)
