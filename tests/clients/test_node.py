"""Node's http with its agent, whose names the configuration borrows."""
import json
import pathlib

CLIENT = pathlib.Path(__file__).with_name("client.js")


def node(site, path, **how):
    options = {"port": site.carpool.port, "url": site.origin.url(path), **how}
    return [tuple(answer) for answer in json.loads(site.run("node", CLIENT, json.dumps(options)))]


def test_without_keep_alive(site):
    site.start()
    site.origin.write("a.txt", b"some text\n")
    assert node(site, "/a.txt", count=20) == [(200, "some text\n")] * 20
    assert site.origin.connections(20) == 1


def test_keep_alive_agent(site):
    site.start()
    for number in range(40):
        site.origin.write(f"{number}.txt", b"%d\n" % number)
    answers = node(site, "/%N.txt", count=40, keepAlive=True, maxSockets=4, together=True)
    assert answers == [(200, f"{number}\n") for number in range(40)]
    assert 1 <= site.origin.connections(40) <= 4


def test_many_sockets_of_the_agent_share_two(site):
    site.start(maxSockets=2)
    for number in range(40):
        site.origin.write(f"{number}.txt", b"%d\n" % number)
    answers = node(site, "/%N.txt", count=40, maxSockets=40, together=True)
    assert answers == [(200, f"{number}\n") for number in range(40)]
    assert 1 <= site.origin.connections(40) <= 2


def test_chunked_posts(site):
    site.start()
    body = "0123456789" * 100
    answers = node(site, "/post", count=10, body=body)
    assert [status for status, _ in answers] == [200] * 10
    assert {request["body"] for request in site.origin.seen(10)} == {body}
    assert site.origin.connections() == 1


def test_errors_are_answers(site):
    site.start()
    assert [status for status, _ in node(site, "/none", count=3, keepAlive=True)] == [404] * 3
    assert site.origin.connections(3) == 1
