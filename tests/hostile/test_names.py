"""Name servers that hang or lie."""
import struct

import pytest

from behaviour.harness.client import request
from behaviour.harness.names import NameServer

from .swarm import Swarm


class Liar(NameServer):
    """Answers as `lie` (a function of the right reply) says."""
    lie = staticmethod(lambda reply: reply)

    def _answer(self, query):
        reply, late = super()._answer(query)
        return reply and self.lie(reply), late


def other_question(reply):
    """The answer to a question that nobody asked."""
    return reply[:12] + b"\x05other" + reply[12 + 1 + reply[12]:]


def pointer_loop(reply):
    return reply[:12] + reply[12:].replace(b"\xc0\x0c", b"\xc0" + bytes([len(reply) - 1 - 15]))


LIES = {
    "another id": lambda reply: bytes([reply[0] ^ 0x55]) + reply[1:],
    "another question": other_question,
    "cut short": lambda reply: reply[:len(reply) // 2],
    "only a head": lambda reply: reply[:12],
    "one byte": lambda reply: reply[:1],
    "more answers than there are": lambda reply: reply[:6] + struct.pack(">H", 60000) + reply[8:],
    "a pointer loop": pointer_loop,
    "noise": lambda reply: bytes(reply[:2]) + bytes(range(256)) * 8,
}


def lying(stage, lie):
    stage.names({})     # skips where there can be none
    stage.servers[-1].close()
    server = Liar(stage.ports.block + 100, {"victim.test": ["127.0.0.1"]})
    server.lie = lie
    stage.servers.append(server)
    return server


def test_a_name_server_that_hangs(stage, ordinary):
    """300 clients that wait for names: 504, and those with an address wait for nothing"""
    server = stage.names({f"h{n}.test": "silent" for n in range(300)})
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "3s"}}}, prefix=stage.asking(server))
    client = ordinary(carpool)
    before = carpool.descriptors()
    with Swarm(carpool.address, 300, lambda n: request("GET", f"http://h{n}.test/")) as swarm:
        client.goes_on(swarm.poll)
        swarm.wait_answered()
        assert swarm.statuses() == {504: 300}, swarm.statuses()
        assert all(b"dns_timeout" in got or b"connection_timeout" in got for got in swarm.answers.values())
    assert carpool.descriptors() <= before + 310


@pytest.mark.parametrize("lie", LIES, ids=[lie.replace(" ", "-") for lie in LIES])
def test_a_name_server_that_lies(stage, ordinary, lie):
    """packets that are no answer: an error in time, nobody else waits, and the next name is found"""
    server = lying(stage, LIES[lie])
    origin = stage.origin()
    carpool = stage.carpool({"defaults": {"timeouts": {"connect": "1s"}}}, prefix=stage.asking(server))
    client, seen = ordinary(carpool), set()
    client.goes_on(lambda: seen.add(carpool.get(f"http://victim.test:{origin.port}/").status), 0.3)
    assert seen <= {502, 504}, seen
    server.lie = lambda reply: reply
    server.names["other.test"] = ["127.0.0.1"]
    assert carpool.get(f"http://other.test:{origin.port}/").status == 200


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "fe80::1",
                                     "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"])
def test_a_name_that_leads_to_a_denied_address(stage, address):
    """the address itself is checked, in every form, whatever the name"""
    server = stage.names({"trusted.test": [address]})
    carpool = stage.carpool(prefix=stage.asking(server))
    response = carpool.get("http://trusted.test/")
    assert (response.status, response.error) == (502, "destination_ip_prohibited")


def test_rebinding(stage):
    """a name that leads elsewhere at each look: the address that is checked is the one connected to"""
    turns = []

    def turning(kind):
        if kind != 1:
            return []
        turns.append(kind)
        return ["127.0.0.1"] if len(turns) % 2 else ["127.0.0.9"]
    server = stage.names({"rebind.test": turning}, ttl=0)
    forbidden = stage.origin(host="127.0.0.9")
    allowed = stage.origin(port=forbidden.port)
    carpool = stage.carpool({"access": {"denyAddresses": ["127.0.0.9/32"]}, "defaults": {"keepAlive": False}},
                            prefix=stage.asking(server))
    seen = {carpool.get(f"http://rebind.test:{allowed.port}/").status for _ in range(60)}
    assert seen <= {200, 502} and 200 in seen
    assert forbidden.accepted == 0 and len(turns) > 1
