"""Section 3, tls.sessionReuse: later sockets of an origin resume its TLS session."""

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.origin import answer
from .harness.tls import V12, V13, https_key, secure, server_context, tls_origin

VERSIONS = pytest.mark.parametrize("versions", [(V12,), (V13,)], ids=["1.2", "1.3"])


def closing(_request):
    return answer(fields=[("Connection", "close")])


def ask(carpool, origin, count):
    """Requests on a socket each, one after the other."""
    for number in range(count):
        assert carpool.get(origin.url(f"/{number}")).status == 200
        wait_until(lambda want=number + 1: sum(carpool.retired(https_key(origin), "api").values()) == want, "the socket is gone")


@VERSIONS
def test_new_sockets_resume(stage, versions):
    """a counter tells full from resumed handshakes"""
    origin = tls_origin(stage, closing, versions=versions)
    carpool = stage.carpool(secure())
    ask(carpool, origin, 8)
    assert (origin.tls.full, origin.tls.resumed) == (1, 7)
    assert carpool.row(https_key(origin), "api")["tlsHandshakes"] == {"full": 1, "resumed": 7}
    metrics = carpool.admin("/metrics").text
    lines = [line for line in metrics.splitlines() if line.startswith("carpool_agent_tls_handshakes_total") and " 0" not in line]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["1", "7"], lines


def test_tickets_of_1_3_are_single_use(stage):
    """TLS 1.3 tickets (several, single use)"""
    origin = tls_origin(stage, closing, versions=(V13,))
    ask(stage.carpool(secure()), origin, 10)
    tickets = [ticket for hello in origin.tls.hellos for ticket in hello.tickets]
    assert len(tickets) == 9 == len(set(tickets))


def test_a_burst_spends_several_tickets(stage):
    """TLS 1.3 tickets (several [...]) [...] are kept per origin and used for new sockets"""
    origin = tls_origin(stage, versions=(V13,), tickets=4, manual=True)
    carpool = stage.carpool(secure())
    first = carpool.ask(origin.url("/first"))
    origin.take().connection.reply()
    assert first.response().status == 200
    clients = [carpool.ask(origin.url(f"/{number}")) for number in range(5)]
    for asked in [origin.take() for _ in clients]:
        asked.connection.reply()
    assert [client.response().status for client in clients] == [200] * 5
    assert origin.accepted == 5 and origin.tls.resumed == 4


@VERSIONS
def test_session_reuse_off(stage, versions):
    """sessionReuse: false"""
    origin = tls_origin(stage, closing, versions=versions)
    carpool = stage.carpool(secure({"sessionReuse": False}))
    ask(carpool, origin, 4)
    assert (origin.tls.full, origin.tls.resumed) == (4, 0)
    assert not any(hello.tickets or hello.session_ticket for hello in origin.tls.hellos)
    assert carpool.row(https_key(origin), "api")["tlsHandshakes"] == {"full": 4, "resumed": 0}


@VERSIONS
def test_a_server_without_tickets(stage, versions):
    origin = tls_origin(stage, closing, versions=versions, tickets=0)
    ask(stage.carpool(secure()), origin, 3)
    assert origin.accepted == 3


@VERSIONS
def test_a_session_that_the_server_forgot(stage, versions):
    """dropped on failure; the request is none the wiser"""
    origin = tls_origin(stage, closing, versions=versions)
    carpool = stage.carpool(secure())
    ask(carpool, origin, 2)
    origin.tls.context = server_context(versions=versions)     # as after a restart: other ticket keys
    assert [carpool.get(origin.url("/")).status for _ in range(3)] == [200] * 3
    assert [made.resumed for made in origin.tls.sockets] == [False, True, False, True, True]


@VERSIONS
def test_a_certificate_that_changed_is_checked(stage, versions):
    """A resumed session is one that was verified; a new one is verified anew."""
    origin = tls_origin(stage, closing, versions=versions)
    carpool = stage.carpool(secure())
    ask(carpool, origin, 2)
    origin.tls.context = server_context(certificates().expired, versions=versions)
    for _ in range(2):
        assert carpool.get(origin.url("/")).error == "tls_certificate_error"


@VERSIONS
def test_another_servername_is_checked(stage, versions):
    """A session is of the name that was checked when it was made: a reload that names another one begins anew."""
    origin = tls_origin(stage, closing, versions=versions)
    carpool = stage.carpool(secure())
    ask(carpool, origin, 2)
    carpool.reload({"upstreams": secure({"servername": "other.test"})["upstreams"]})
    response = carpool.get(origin.url("/"))
    assert (response.status, response.error) == (502, "tls_certificate_error")
    assert origin.tls.hellos[-1].server_name == "other.test"
    assert not (origin.tls.hellos[-1].tickets or origin.tls.hellos[-1].session_ticket)


def test_two_identities_never_share_sessions(stage):
    """The TLS identity is part of the origin's key"""
    one, two = (certificates().leaf(common_name=name) for name in ("client one", "client two"))
    origin = tls_origin(stage, closing, client_ca=certificates().ca)
    upstreams = {}
    ports = stage.ports.take(), stage.ports.take()
    for name, pair, port in (("one", one, ports[0]), ("two", two, ports[1])):
        upstreams[name] = {"host": "api.test", "address": [origin.authority], "listen": [f"127.0.0.1:{port}"],
                           "tls": {"ca": certificates().ca.pem, "cert": pair.cert, "key": pair.key}}
    carpool = stage.carpool({"upstreams": upstreams})
    for port in ports * 2:
        with carpool.client(("127.0.0.1", port)) as client:
            assert client.ask("/", host="localhost").response().status == 200
    assert [made.resumed for made in origin.tls.sockets] == [False, False, True, True]


def test_tickets_on_a_free_socket_are_taken_in(stage):
    """5.5: TLS tickets and key updates are taken in"""
    origin = tls_origin(stage, versions=(V13,), tickets=10)
    carpool = stage.carpool(secure())
    for _ in range(5):
        assert carpool.get(origin.url("/"), method="POST", body=b"x").status == 200
    assert origin.accepted == 1 and carpool.retired(https_key(origin), "api") == {}
