"""Clients inside CONNECT that begin TLS and do not end it cost only themselves."""
import os

from behaviour.harness import wait_until
from behaviour.harness.client import request
from behaviour.test_10_tls import TARGET, Setting, hello

from .swarm import Swarm

CONNECT = request("CONNECT", TARGET)


def setting(stage, **more):
    return Setting(stage, server={"headersTimeout": "10s"}, **more)


def test_five_thousand_half_hellos(stage, ordinary):
    """half a ClientHello waits in a small buffer, without OpenSSL, until headersTimeout"""
    tls = setting(stage)
    client = ordinary(tls.carpool)
    memory = tls.carpool.resident()
    with Swarm(tls.carpool.address, 5000, CONNECT + hello()[:200]) as swarm:
        client.goes_on(swarm.poll)
        assert tls.carpool.sanitized or tls.carpool.resident() - memory < 5000 * 12 * 1024, "more than 12 KiB each"
        swarm.wait_ended()
        assert swarm.statuses() == {200: 5000}
    tls.wait_handshakes("failed", 5000)


def test_five_thousand_half_handshakes(stage, ordinary):
    """5,000 half handshakes beside an ordinary client: they have the server's whole flight and say no more"""
    tls = Setting(stage)
    client = ordinary(tls.carpool)
    memory = tls.carpool.resident()
    with Swarm(tls.carpool.address, 5000, CONNECT + hello()) as swarm:
        client.goes_on(swarm.poll)
        swarm.wait_each(lambda answer: b"\r\n\r\n\x16\x03\x03" in answer)
        assert tls.carpool.sanitized or tls.carpool.resident() - memory < 5000 * 100 * 1024, "more than 100 KiB each"
    tls.wait_handshakes("failed", 5000)
    assert tls.get().status == 200


def test_handshakes_that_are_given_up(stage, ordinary):
    """again and again a whole ClientHello, and then the end: each costs a signature"""
    tls = setting(stage)
    client = ordinary(tls.carpool)
    greeting = CONNECT + hello()

    def step():
        with Swarm(tls.carpool.address, 20, greeting) as swarm:
            swarm.poll(0.01)

    client.goes_on(step)
    assert tls.get().status == 200
    if os.geteuid() != 0:       # a process that holds a CA's key hides its descriptors from all but root
        return
    before = tls.carpool.descriptors()
    wait_until(lambda: tls.carpool.descriptors() <= before, lambda: "descriptors come back")


def test_hellos_that_are_none(stage, ordinary):
    """oversized, of a wrong length, of another version, for another host, with garbage behind: an alert each, and the end"""
    tls = setting(stage)
    client = ordinary(tls.carpool)
    whole = hello()
    bad = [b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + b"x" * 2000, whole[:9] + b"\x03\x02" + whole[11:], hello("b.pool.test"),
           whole[:-3] + b"\xff" * 3, whole + b"\x17\x03\x03\x00\x10" + b"y" * 16, whole[:5] + b"\x01\x00\x00\x04" + b"\x03\x03aa"
           + whole[13:]]

    def step():
        for data in bad:
            with Swarm(tls.carpool.address, 5, CONNECT + data) as swarm:
                swarm.poll(0.005)

    client.goes_on(step)
    assert tls.get().status == 200
