"""Section 4.6: loops."""

import pytest

from .harness import wait_until
from .harness.client import request
from .harness.origin import answer


@pytest.mark.parametrize("value", ["1.1 edge", "1.0 other, 1.1 edge", "1.1 edge (comment), 1.1 other", "HTTP/1.1 edge",
                                   "1.1  edge"])
def test_its_own_name_is_a_loop(stage, value):
    """A proxy loop is recognised [...] by this instance's own name in `Via` [...] 502,
    `proxy_loop_detected`."""
    origin = stage.origin()
    response = stage.carpool({"name": "edge"}).get(origin.url("/"), fields=[("Via", value)])
    assert response.status == 502 and response.error == "proxy_loop_detected"
    assert origin.accepted == 0


@pytest.mark.parametrize("value", ["1.1 edge2", "1.1 my-edge", "1.1 other (edge)", "1.1 other, 1.1 another"])
def test_other_names_are_none(stage, value):
    """by this instance's own name in `Via`"""
    origin = stage.origin()
    assert stage.carpool({"name": "edge"}).get(origin.url("/"), fields=[("Via", value)]).status == 200


def test_a_loop_is_seen_in_every_field(stage):
    """by this instance's own name in `Via`: whichever of several fields holds it"""
    origin = stage.origin()
    response = stage.carpool({"name": "edge"}).get(origin.url("/"), fields=[("Via", "1.1 a"), ("Via", "1.1 edge")])
    assert response.status == 502 and response.error == "proxy_loop_detected"


def test_a_loop_is_seen_before_the_form(stage):
    """A proxy loop is recognised, before the target's form is looked at"""
    response = stage.carpool({"name": "edge"}).raw(request("GET", "/", host="a.test", fields=[("Via", "1.1 edge")]))
    assert response.status == 502 and response.error == "proxy_loop_detected"


def test_two_in_a_row_are_no_loop(stage):
    """so that two Carpools in a row are no loop"""
    origin = stage.origin()
    gateway = stage.ports.take()
    inner = stage.carpool({"upstreams": {"o": {"host": "o.test", "address": [origin.authority],
                                               "listen": [f"127.0.0.1:{gateway}"]}}})
    outer = stage.carpool({"upstreams": {
        "next": {"match": "o.test", "address": [f"127.0.0.1:{gateway}"]}}})
    assert outer.get("http://o.test/").status == 200
    assert len(",".join(origin.requests[0].fields.all("Via")).split(",")) == 2
    assert inner.running


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("which", ["proxy", "admin", "upstream"])
def test_its_own_listeners_are_a_loop(stage, which, host):
    """a target that is one of Carpool's own listeners (admin's and upstreams' too) by its resolved address;
    both get 502, `proxy_loop_detected`"""
    own = stage.ports.take()
    closed = stage.ports.refused()
    carpool = stage.carpool({"upstreams": {"u": {"host": "u.test", "listen": [f"127.0.0.1:{own}"], "address": [
        f"127.0.0.1:{closed.getsockname()[1]}"]}}})
    port = {"proxy": carpool.port, "admin": carpool.admin_port, "upstream": own}[which]
    response = carpool.get(f"http://{host}:{port}/agents")
    assert response.status == 502 and response.error == "proxy_loop_detected"


def test_a_listener_on_every_address_is_a_loop_on_each(stage):
    """a target that is one of Carpool's own listeners [...] by its resolved address"""
    port = stage.ports.take()
    carpool = stage.carpool({"listen": [f"0.0.0.0:{port}"], "access": {"clients": ["127.0.0.0/8"]}},
                            listen=("127.0.0.1", port))
    response = carpool.get(f"http://127.0.0.3:{port}/")
    assert response.status == 502 and response.error == "proxy_loop_detected"


def test_another_port_is_no_loop(stage):
    """a target that is one of Carpool's own listeners: the same address with another port is not"""
    origin = stage.origin(lambda _: answer(b"hello"))
    assert stage.carpool().get(origin.url("/")).text == "hello"


def test_long_names_are_told_apart(stage):
    """`name:` sets the whole: of 64 bytes, each of them counts"""
    origin = stage.origin()
    mine, other = "x" * 63 + "a", "x" * 63 + "b"
    carpool = stage.carpool({"name": mine})
    assert carpool.get(origin.url("/"), fields=[("Via", f"1.1 {other}")]).status == 200
    assert origin.requests[0].fields.all("Via")[-1].endswith(f"1.1 {mine}")
    assert carpool.get(origin.url("/"), fields=[("Via", f"1.1 {mine}")]).error == "proxy_loop_detected"


def test_loops_without_via(stage):
    """via: false: loops are found by address all the same"""
    carpool = stage.pooled(via=False)
    response = carpool.get(f"http://localhost:{carpool.port}/")
    assert response.status == 502 and response.error == "proxy_loop_detected"


def test_a_loop_of_two_one_of_which_says_via(stage):
    """by this instance's own name in `Via`: one that adds it is enough"""
    ports = stage.ports.take(), stage.ports.take()
    daemons = []
    for mine, other, adds in ((0, 1, False), (1, 0, True)):
        daemons.append(stage.carpool({"upstreams": {"next": {
            "match": "o.test", "address": [f"127.0.0.1:{ports[other]}"], "listen": [f"127.0.0.1:{ports[mine]}"], "via": adds}}}))
    response = daemons[0].get("http://o.test/")
    assert response.status == 502 and response.error == "proxy_loop_detected"
    assert daemons[0].row("http://o.test:80", "next")["requestsTotal"] == 2


def problems_of_three(carpool):
    """What the diagnosis says when three requests have failed."""
    wait_until(lambda: carpool.agents()["default"]["failedLately"] == 3, "three failures")
    return carpool.agents()["default"]["diagnosis"]


def test_loops_are_a_problem(stage):
    """a target that is one of Carpool's own listeners: three requests failed, each to another one"""
    listeners = stage.ports.take(), stage.ports.take()
    carpool = stage.carpool({"upstreams": {f"u{port}": {"match": f"u{port}.test", "listen": [f"127.0.0.1:{port}"]} for port in listeners}})
    for port in (carpool.port, *listeners):
        assert carpool.get(f"http://127.0.0.1:{port}/").error == "proxy_loop_detected"
    problem, = problems_of_three(carpool)
    # Whether the origins are forgotten yet is a question of time.
    assert "3 of 3 requests to different origins failed because of a loop back to Carpool itself;" in problem \
        or "3 of 3 requests to origins since forgotten (*) failed: 3 proxy_loop_detected;" in problem


def test_a_forbidden_address_is_one_problem(stage):
    """`access.denyAddresses`: one cause is one problem"""
    carpool = stage.carpool()
    for _ in range(3):
        assert carpool.get("http://169.254.169.254/").error == "destination_ip_prohibited"
    assert len(problems_of_three(carpool)) == 1
