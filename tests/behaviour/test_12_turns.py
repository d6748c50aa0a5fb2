"""Section 12: queue: fair lets callers take turns."""

import pytest

from .harness import wait_until
from .test_12_callers import FLOOD, OTHER, _people, ask, name_of, telling  # noqa: F401  (a fixture is among them)


def flood(carpool, origin, people, plan, agent="default", url=None):
    """Clients of these users ask in this order, while a first one holds the only connection: [client]."""
    url = url or (lambda uid, word: origin.url(f"/{word}"))
    clients = []
    for number, uid in enumerate([0, *plan]):
        clients.append(people(uid).client(carpool.address))
        clients[-1].ask(url(uid, number - 1))
        origin.wait_requests(1)
        wait_until(lambda: pending(carpool, agent) == number, f"{number} wait")    # pylint: disable=cell-var-from-loop
    return clients


def pending(carpool, agent="default"):
    return sum(row["requests"] for row in carpool.agents()[agent]["origins"])


def served(origin, count):
    """The order in which they come to the origin, which answers each."""
    for number in range(count):
        origin.wait_requests(number + 1)
        next(each for each in reversed(origin.connections) if each.requests and not each.ended).reply(b"ok")
    return [target.rpartition("/")[2] for target in origin.targets[1:]]


@pytest.mark.parametrize("queue, order", [("fifo", "012345"), ("fair", "041523")])
def test_turns(stage, people, queue, order):
    """when a place comes free it goes to the caller next in turn that has a request waiting for that origin, its oldest
    first"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"defaults": {"maxSockets": 1, "queue": queue}})
    clients = flood(carpool, origin, people, [FLOOD] * 4 + [OTHER] * 2)
    assert "".join(served(origin, 7)) == order
    assert all(client.response().status == 200 for client in clients)
    for client in clients:
        client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_turns_of_two_loops(stage, people, workers):
    """Two workers, the same promises; reload: queue applies live"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"workers": workers, "defaults": {"maxSockets": 1}})
    clients = flood(carpool, origin, people, [FLOOD] * 3 + [OTHER] * 2)
    carpool.reload({"defaults": {"maxSockets": 1, "queue": "fair"}})
    assert "".join(served(origin, 6)) == "03142"
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_turns_under_max_total(stage, people):
    """(or, under `maxTotalSockets`, that agent)"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"upstreams": {"u": {"match": "*.test", "address": [origin.authority], "maxTotalSockets": 1,
                                                  "queue": "fair"}}})

    def url(uid, word):
        return f"http://{'two' if uid == OTHER else 'one'}.test/{word}"
    clients = flood(carpool, origin, people, [FLOOD] * 4 + [OTHER] * 2, "u", url)
    assert "".join(served(origin, 7)) == "041523"
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_the_full_queue(stage, people):
    """a caller with fewer waiting than the one with most takes that one's newest place, which gets the 503"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"defaults": {"maxSockets": 1, "queue": "fair", "maxPendingRequests": 2}})
    clients = flood(carpool, origin, people, [FLOOD] * 2)
    refused = ask(people(FLOOD), carpool, origin.url("/flood"))
    assert (refused.status, refused.error) == (503, "connection_limit_reached")
    other = people(OTHER).client(carpool.address)
    other.ask(origin.url("/other"))
    displaced = clients[2].response()
    assert (displaced.status, displaced.error) == (503, "connection_limit_reached")
    assert displaced.fields.get("Retry-After") == "1" and b"queue: fair" in displaced.body
    assert ask(people(OTHER), carpool, origin.url("/more")).status == 503      # as many as the other has
    row = carpool.row(origin)
    assert row["requests"] == 2 and row["errors"] == {"connection_limit_reached": 3}
    problem, = carpool.agents()["default"]["diagnosis"]
    assert "3 of 6 requests refused" in problem and "timeouts.pending" not in problem
    assert served(origin, 3) == ["0", "other"]
    for client in (clients[0], clients[1], other):
        assert client.response().status == 200
        client.close()
    told = carpool.admin("/explain").text
    assert "3 waited, " in told and " (1 of them was refused in the end), and 2 were refused at once" in told, told


def test_the_diagnosis_names_who_holds_up_the_others(stage, people):
    """payments: 40 of 42 pending are of cron.service: queue: fair keeps the others going"""
    origin = stage.origin(manual=True)
    carpool = telling(stage, {"defaults": {"maxSockets": 1}})
    clients = flood(carpool, origin, people, [FLOOD] * 5 + [OTHER])
    sentence = f"default: 5 of 6 pending are of {name_of(FLOOD)}: queue: fair keeps the others going"
    wait_until(lambda: sentence in carpool.agents()["default"]["diagnosis"], "the sentence")
    carpool.reload({"defaults": {"maxSockets": 1, "queue": "fair"}})
    assert sentence not in carpool.agents()["default"]["diagnosis"]
    served(origin, 7)
    for client in clients:
        assert client.response().status == 200
        client.close()
