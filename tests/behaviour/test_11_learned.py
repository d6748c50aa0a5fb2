"""Section 11.2: the learned idle limit."""

import threading

import pytest

from .harness.origin import answer


def closing(stage, ages, **fields):
    """An origin that closes each connection when it was idle for so long: one of `ages` (seconds) after the other; 0: at
    once, None: never."""
    ages = iter(ages)

    def respond(asked):
        connection = asked.connection
        age = next(ages, None)
        connection.send(answer(**fields))
        if age == 0:
            connection.close()
        elif age is not None:
            threading.Timer(age, end, [connection, len(connection.requests)]).start()

    def end(connection, requests):
        if len(connection.requests) == requests and not connection.gone.is_set():
            connection.close()
    return stage.origin(respond)


def closed(carpool, origin, times):
    """So many requests, each followed by the end of its connection."""
    for _ in range(times):
        assert carpool.get(origin.url("/")).status == 200
        carpool.wait_row(origin, sockets=0, freeSockets=0)


def learned(carpool, origin):
    return carpool.row(origin)["learnedFreeTimeoutMs"]


def until_learned(carpool, origin, closing_once):
    """How many closings it took: three, or more where this machine was too busy to make them alike."""
    for count in range(1, 9):
        closing_once()
        if learned(carpool, origin):
            return count
    raise AssertionError(f"nothing was learned: {carpool.row(origin)}")


def test_learned_and_used(stage):
    """Where an origin closed three free sockets one after another at like idle ages [...] Carpool retires free sockets of
    that origin before that age [...]; reason `learned-timeout`; it survives reload"""
    origin = closing(stage, [1] * 9)
    carpool = stage.pooled(agentKeepAliveTimeoutBuffer="200ms", timeouts={"free": "off"})
    closed(carpool, origin, 2)
    assert learned(carpool, origin) is None
    closings = 2 + until_learned(carpool, origin, lambda: closed(carpool, origin, 1))
    limit = learned(carpool, origin)
    assert limit >= 790     # less the buffer; an idle time begins a moment after the origin's, and closings may come late
    carpool.reload({"defaults": {"agentKeepAliveTimeoutBuffer": "200ms", "timeouts": {"free": "off"}, "maxSockets": 9}})
    assert learned(carpool, origin) == limit
    closed(carpool, origin, 1)
    assert carpool.retired(origin) == {"peer-closed": closings, "learned-timeout": 1}
    assert carpool.get(origin.url("/")).status == 200
    assert carpool.row(origin)["openedFor"] == {"first": 1, "peer-closed": closings, "learned-timeout": 1}


@pytest.mark.parametrize("ages, fields", [([.7, 1.5, 2.4, .7], {}), ([0, 0, 0, 0], {}),
                                          ([.6] * 4, {"fields": [("Keep-Alive", "timeout=60")]})],
                         ids=["jitter", "at once", "hint"])
def test_nothing_is_learned(stage, ages, fields):
    """at like idle ages (within 10 % or 500 ms of each other, each 500 ms or more) without having announced a hint"""
    origin = closing(stage, ages, **fields)
    carpool = stage.pooled(timeouts={"free": "off"})
    closed(carpool, origin, len(ages))
    assert learned(carpool, origin) is None
    assert "learned-timeout" not in carpool.retired(origin)


def test_switched_off(stage):
    """`learnFreeTimeout: true`, per agent"""
    origin = closing(stage, [.6] * 4)
    carpool = stage.pooled(learnFreeTimeout=False, timeouts={"free": "off"})
    closed(carpool, origin, 4)
    assert learned(carpool, origin) is None


def test_repeats_count(stage):
    """A repeat forced by a stale socket (5.6) counts as a closing at its idle age"""
    def respond(asked):
        if asked.target == "/stale" and len(asked.connection.requests) > 1:
            asked.connection.close()
        return answer()
    origin = stage.origin(respond)
    carpool = stage.pooled(agentKeepAliveTimeoutBuffer="200ms", timeouts={"free": "off"})

    def stale_once():
        assert carpool.get(origin.url("/")).status == 200
        carpool.wait_row(origin, freeSockets=1)
        threading.Event().wait(.6)
        assert carpool.get(origin.url("/stale")).status == 200
        assert carpool.admin("/agents/default/drain", "POST").status == 200
        carpool.wait_row(origin, freeSockets=0)
    until_learned(carpool, origin, stale_once)
