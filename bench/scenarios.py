"""What is measured, and against what it is judged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """What the clients ask, and the goals of the figures. Goals that are 0 are not judged."""

    name: str
    title: str
    load: tuple = ()  # options of bench/load
    kind: str = "load"  # or the name of a function in special.py or workers.py
    origin: str = "load"  # who answers: the load generator, or nginx ("plain", "tls")
    file: str = ""  # what nginx is asked for
    short: bool = False  # a connection a request
    unix: bool = False
    log: bool = False
    callers: bool = False
    slots: int = 0  # upstream connections at most
    origins: int = 1
    clients: int = 32
    delay_ms: float = 0
    seconds: float = 1.0  # as a multiple of --seconds
    rounds: float = 1.0  # as a multiple of --rounds
    peers: tuple = ()  # the only ones that tell something; empty: all
    floor_goal: float = 0  # CPU time, at most this multiple of the floor's
    peer_goal: float = 0  # at most this multiple of the best peer's
    rate_goal: float = 0  # requests/s, at least this multiple of the best peer's
    p99_goal: float = 0  # at most this multiple of the ideal, which is work / slots
    callers_goal: float = 0  # CPU time, at most this multiple of that without
    log_goal: float = 0  # per cent of throughput that the access log may cost
    goal: float = 0  # of a special scenario, in its own unit
    figure: str = "CPU microseconds a request"  # what its plot shows


SHORT = ("--wait-for-end",)
KEEP = ("--keep-alive",)


def large(name, title, file, size, **more):
    """Bodies come from nginx; most of them are counted and not compared, or the load side would be the bottleneck."""
    return Scenario(name, title, (*KEEP, "--body", str(size), "--check-every", "16"), origin="plain", file=file, **more)


SCENARIOS = {s.name: s for s in (
    Scenario("short", "short-lived clients, 1 KB", SHORT, short=True, rounds=1.67, floor_goal=1.2, peer_goal=0.9),
    Scenario("short-unix", "short-lived clients over a unix socket, 1 KB", SHORT, short=True, unix=True),
    Scenario("keep", "keep-alive clients, 1 KB", KEEP, rounds=1.67, floor_goal=1.2, peer_goal=0.9),
    large("64k", "keep-alive clients, 64 KB", "64k", 65536, clients=16, peer_goal=0.9),
    large("1m", "keep-alive clients, 1 MB", "1m", 1 << 20, clients=8, peer_goal=1.0, rate_goal=1.0),
    large("10m", "keep-alive clients, 10 MB", "10m", 10 << 20, clients=4, peer_goal=1.0, rate_goal=1.0, seconds=1.5),
    Scenario("chunked", "keep-alive clients, 16 KB in chunks", (*KEEP, "--body", "16384", "--chunked"), peer_goal=0.9),
    Scenario("post1k", "keep-alive clients, POST 1 KB", (*KEEP, "--method", "POST", "--upload", "1024")),
    Scenario("post1m", "keep-alive clients, POST 1 MB", (*KEEP, "--method", "POST", "--upload", "1048576"), clients=8),
    Scenario("tls", "short-lived clients, TLS upstream, 1 KB", SHORT, origin="tls", file="1k", short=True, peer_goal=0.9),
    Scenario("queue", "1,000 clients on 32 sockets, 5 ms of work each", KEEP, clients=1000, slots=32, delay_ms=5,
             seconds=1.5, peer_goal=0.9, p99_goal=1.1),
    Scenario("slow", "500 short-lived clients, an origin that takes 100 ms", SHORT, short=True, clients=500, delay_ms=100,
             seconds=1.5),
    Scenario("origins", "short-lived clients, 1,000 origins in turn", SHORT, short=True, origins=1000, seconds=1.5),
    Scenario("log", "short-lived clients, 1 KB, access log on", SHORT, short=True, log=True, rounds=2,
             peers=("carpool", "no-log", "nginx", "apache2", "squid"), log_goal=8),
    Scenario("log-keep", "keep-alive clients, 1 KB, access log on", KEEP, log=True, rounds=2,
             peers=("carpool", "no-log", "nginx", "apache2", "squid"), log_goal=8),
    Scenario("callers", "short-lived clients, 1 KB, callers: user", SHORT, short=True, callers=True, rounds=2,
             peers=("carpool", "no-callers"), callers_goal=1.15),
    Scenario("callers-keep", "keep-alive clients, 1 KB, callers: user", KEEP, callers=True, rounds=2,
             peers=("carpool", "no-callers"), callers_goal=1.02),
    Scenario("idle", "10,000 idle keep-alive clients", kind="idle", origin="plain", file="1k", clients=10000, goal=600,
             figure="bytes of user memory an idle client"),
    Scenario("latency", "one short-lived client at a time, 1 KB", SHORT, kind="latency", origin="plain", file="1k", short=True,
             clients=1, goal=40, figure="microseconds added to a direct request, median"),
    Scenario("latency-core", "one short-lived client at a time, client, proxy and origin on one core", SHORT, kind="latency",
             origin="plain", file="1k", short=True, clients=1, goal=40, figure="microseconds added to a direct request, median"),
    Scenario("latency-keep", "one keep-alive client, 1 KB", KEEP, kind="latency", origin="plain", file="1k", clients=1, goal=40,
             figure="microseconds added to a direct request, median"),
    Scenario("once", "200 one-shot requests of seven methods, one after the other", kind="once", goal=1,
             figure="upstream connections"),
    Scenario("cold", "from the start of the process to the first byte", kind="cold", origin="plain", file="1k", short=True,
             figure="milliseconds"),
    Scenario("workers-short", "short-lived clients, one origin", SHORT, kind="workers", short=True, goal=1.1),
    Scenario("workers-keep", "keep-alive clients, one origin", KEEP, kind="workers", goal=1.1),
    Scenario("workers-short-100", "short-lived clients, 100 origins in turn", SHORT, kind="workers", short=True, origins=100, goal=1.1),
    Scenario("workers-keep-100", "keep-alive clients, 100 origins, each client asks one of them", (*KEEP, "--faithful"), kind="workers",
             clients=200, origins=100, goal=1.1),
    Scenario("workers-turn-100", "keep-alive clients, 100 origins, each client asks all in turn", KEEP, kind="workers", origins=100,
             goal=1.1),
    # Not part of a run of all: variants for who works on the data path.
    Scenario("short-open", "short-lived clients that do not say so, 1 KB", (), short=True),
    Scenario("64k-load", "keep-alive clients, 64 KB, origin and load in one", (*KEEP, "--body", "65536"), clients=16,
             peer_goal=0.9),
)}

EXTRA = ("short-open", "64k-load")
DEFAULT = tuple(name for name in SCENARIOS if name not in EXTRA)
