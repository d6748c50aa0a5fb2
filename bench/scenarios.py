"""What is measured, and against what it is judged."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """What the clients ask, of whom, and the goals.

    Goals, each a limit: NAME of a row (floor, best, no-log, ...): CPU time at most that multiple of that row's; "rate": requests/s
    at least that multiple of the best peer's; "p99": at most that multiple of the ideal, which is work / slots; "log": per cent of
    throughput that the access log may cost; "figure" (of those that are not of the kind "load"): in `unit`."""

    name: str
    title: str
    load: tuple = ()  # options of bench/load
    kind: str = "load"  # or another name in KINDS of bench/run
    origin: str = "load"  # who answers: the load generator, or nginx ("plain", "tls")
    file: str = ""  # what nginx is asked for
    short: bool = False  # a connection a request
    unix: bool = False
    inside: bool = False  # TLS from the clients, too: within CONNECT where the proxy knows that, else towards it
    h2: bool = False  # HTTP/2 towards the origin
    log: bool = False
    callers: bool = False
    slots: int = 0  # upstream connections at most
    origins: int = 1
    clients: int = 64
    delay_ms: float = 0
    seconds: float = 1.0  # as a multiple of --seconds
    rounds: float = 1.0  # as a multiple of --rounds
    peers: tuple = ()  # empty: those that are fast somewhere
    goals: dict = field(default_factory=dict)
    unit: str = "µs"
    steady: bool = False  # a figure that a busy machine does not change


SHORT = ("--wait-for-end",)
KEEP = ("--keep-alive",)
FAST = ("floor", "carpool", "nginx", "haproxy", "h2o", "trafficserver", "nghttpx")
ALL = (*FAST, "varnish", "apache2", "node", "squid", "tinyproxy")
STREAMING = ("floor", "carpool", "nginx", "haproxy", "trafficserver")
LOGGING = ("carpool", "no-log", "nginx", "apache2")
TLS = ("carpool", "nginx", "haproxy", "h2o", "trafficserver", "nghttpx", "apache2")
H2 = ("carpool", "no-h2", "haproxy", "nghttpx", "apache2")
INSIDE = ("carpool", "nginx", "haproxy", "h2o", "squid-bump")
CALLERS = ("carpool", "no-callers", "fair-queue")


def large(name, title, file, size, clients, **more):
    """Bodies come from nginx; most of them are counted and not compared, or the load side would be the bottleneck."""
    return Scenario(name, title, (*KEEP, "--body", str(size), "--check-every", "16"), **{"origin": "plain", "peers": STREAMING, **more},
                    file=file, clients=clients)


def upload(name, title, size, **more):
    return Scenario(name, title, (*KEEP, "--method", "POST", "--upload", str(size)), **more)


GROUPS = {
    "small": ("Small answers", (
        Scenario("short", "short-lived clients, 1 KB", SHORT, short=True, rounds=1.67, peers=ALL, goals={"floor": 1.15, "best": 0.9}),
        Scenario("short-unix", "short-lived clients over a unix socket, 1 KB", SHORT, short=True, unix=True),
        Scenario("keep", "keep-alive clients, 1 KB", KEEP, rounds=1.67, peers=ALL, goals={"floor": 1.2, "best": 0.9}),
        Scenario("chunked", "keep-alive clients, 16 KB in chunks", (*KEEP, "--body", "16384", "--chunked"), goals={"best": 0.9}),
        upload("post1k", "keep-alive clients, POST 1 KB", 1024),
        Scenario("queue", "1,000 clients on 32 sockets, 5 ms of work each", KEEP, clients=1000, slots=32, delay_ms=5, seconds=1.5,
                 peers=(*FAST, "apache2"), goals={"best": 0.9, "p99": 1.1}),
        Scenario("slow", "500 short-lived clients, an origin that takes 100 ms", SHORT, short=True, clients=500, delay_ms=100, seconds=1.5),
        Scenario("origins", "short-lived clients, 1,000 origins in turn", SHORT, short=True, origins=1000, seconds=1.5),
    )),
    "bodies": ("Large bodies", (
        large("64k", "64 KB, 16 clients", "64k", 65536, 16, goals={"best": 0.9}, peers=FAST),
        large("1m", "1 MB, 8 clients", "1m", 1 << 20, 8, goals={"best": 0.75, "rate": 1.0}, peers=FAST),
        large("1m-64", "1 MB, 64 clients", "1m", 1 << 20, 64, goals={"best": 0.75, "rate": 1.0}),
        large("10m", "10 MB, 8 clients", "10m", 10 << 20, 8, goals={"best": 0.95, "rate": 1.0}, seconds=1.5),
        large("10m-64", "10 MB, 64 clients", "10m", 10 << 20, 64, goals={"best": 0.95, "rate": 1.0}, seconds=2),
        large("100m", "100 MB, 4 clients", "100m", 100 << 20, 4, goals={"best": 0.95, "rate": 1.0}, seconds=2),
        upload("post1m", "POST 1 MB, 8 clients", 1 << 20, clients=8, peers=STREAMING, goals={"best": 0.75, "rate": 1.0}),
        upload("post10m", "POST 10 MB, 8 clients", 10 << 20, clients=8, peers=STREAMING, goals={"best": 0.95, "rate": 1.0}, seconds=1.5),
    )),
    "tls": ("TLS towards the origin", (
        Scenario("tls-short", "short-lived clients, 1 KB", SHORT, origin="tls", file="1k", short=True, peers=TLS, rounds=1.67, goals={"best": 0.88}),
        Scenario("tls-keep", "keep-alive clients, 1 KB", KEEP, origin="tls", file="1k", peers=TLS, rounds=1.67, goals={"best": 0.85}),
        large("tls-64k", "keep-alive clients, 64 KB, 16 clients", "64k", 65536, 16, origin="tls", peers=TLS),
        large("tls-1m", "keep-alive clients, 1 MB, 8 clients", "1m", 1 << 20, 8, origin="tls", peers=TLS),
    )),
    "h2": ("HTTP/2 over TLS towards the origin", (
        Scenario("h2-short", "short-lived clients, 1 KB", SHORT, origin="tls", file="1k", short=True, h2=True, peers=H2, rounds=1.67,
                 goals={"no-h2": 0.85, "best": 0.8}),
        Scenario("h2-keep", "keep-alive clients, 1 KB", KEEP, origin="tls", file="1k", h2=True, peers=H2, rounds=1.67,
                 goals={"no-h2": 0.85, "best": 0.8}),
        large("h2-10m", "10 MB, 8 clients", "10m", 10 << 20, 8, origin="tls", h2=True, peers=("carpool", "no-h2", "haproxy", "nghttpx"),
              seconds=1.5, goals={"no-h2": 1.3}),
        Scenario("h2-writes", "100 short-lived clients: write calls towards the origin", SHORT, kind="writes", origin="tls", file="1k",
                 short=True, h2=True, clients=100, peers=("carpool", "no-h2"), goals={"figure": 0.2}, unit="a request"),
        Scenario("h2-writes-keep", "100 keep-alive clients: write calls towards the origin", KEEP, kind="writes", origin="tls", file="1k",
                 h2=True, clients=100, peers=("carpool", "no-h2"), goals={"figure": 0.2}, unit="a request"),
        Scenario("h2-stuck", "one reader of 64 KB beside 99 clients that read nothing of 10 MB", (*KEEP, "--body", "65536"), kind="stuck",
                 origin="tls", file="64k", h2=True, clients=1, peers=("carpool",), rounds=1.67,
                 goals={"stuck_rate": 0.91, "stuck_p99": 1.1, "stuck_memory": 395}),
        Scenario("h2-million", "1,000,000 requests, half of them POST, GOAWAY after every 10", KEEP, kind="million", origin="goaway",
                 file="1k", h2=True, peers=("carpool",), goals={"figure": 0}, unit="errors and doubles", steady=True),
    )),
    "connect": ("TLS on both sides: inside CONNECT, or towards the proxy", (
        Scenario("connect-short", "short-lived clients, a full handshake each, 1 KB", SHORT, origin="tls", file="1k", short=True, inside=True,
                 peers=INSIDE, goals={"best": 0.95}),
        Scenario("connect-resumed", "short-lived clients, sessions resumed, 1 KB", (*SHORT, "--resume"), origin="tls", file="1k", short=True,
                 inside=True, peers=INSIDE),
        Scenario("connect-keep", "keep-alive clients, 1 KB", KEEP, origin="tls", file="1k", inside=True, peers=INSIDE),
    )),
    "log": ("Access log", (
        Scenario("log-short", "short-lived clients, 1 KB", SHORT, short=True, log=True, rounds=1.67, peers=LOGGING, goals={"log": 8}),
        Scenario("log-keep", "keep-alive clients, 1 KB", KEEP, log=True, rounds=1.67, peers=LOGGING, goals={"log": 8}),
    )),
    "callers": ("Callers told apart", (
        Scenario("callers-short", "short-lived clients, 1 KB", SHORT, short=True, callers=True, rounds=1.67, peers=CALLERS,
                 goals={"no-callers": 1.1}),
        Scenario("callers-keep", "keep-alive clients, 1 KB", KEEP, callers=True, rounds=1.67, peers=CALLERS, goals={"no-callers": 1.02}),
        Scenario("fair", "p99 of one client beside another caller's 500, 4 sockets, 10 ms of work", KEEP, kind="fair", callers=True, slots=4,
                 delay_ms=10, clients=500, goals={"figure": 2.5}, unit="of alone"),
    )),
    "resources": ("Memory, latency, start", (
        Scenario("idle", "5,000 idle keep-alive clients: user memory", kind="idle", origin="plain", file="1k", clients=5000, peers=ALL,
                 goals={"figure": 560}, unit="bytes each", steady=True),
        Scenario("waiting", "5,000 requests that wait: user memory beside an idle client's and the request", kind="waiting", clients=5000,
                 slots=1, peers=("carpool",), goals={"figure": 200}, unit="bytes each", steady=True),
        Scenario("latency", "one short-lived client at a time: added to a direct request", SHORT, kind="latency", origin="plain", file="1k",
                 short=True, clients=1, goals={"figure": 40}),
        Scenario("latency-core", "the same with client, proxy and origin on one core", SHORT, kind="latency", origin="plain", file="1k",
                 short=True, clients=1, goals={"figure": 40}),
        Scenario("latency-keep", "one keep-alive client: added to a direct request", KEEP, kind="latency", origin="plain", file="1k", clients=1,
                 goals={"figure": 40}),
        Scenario("once", "200 one-shot requests of seven methods, one after the other: upstream connections", kind="once", peers=ALL,
                 goals={"figure": 1}, unit="", steady=True),
        Scenario("start", "from exec to the first answer", kind="start", origin="plain", file="1k", short=True, peers=ALL, goals={"figure": 8},
                 unit="ms"),
    )),
    "workers": ("Several workers of Carpool, on all cores", (
        Scenario("workers-short", "short-lived clients, one origin", SHORT, kind="workers", short=True, goals={"workers": 1.15}),
        Scenario("workers-keep", "keep-alive clients, one origin", KEEP, kind="workers", goals={"workers": 1.15}),
        Scenario("workers-short-100", "short-lived clients, 100 origins in turn", SHORT, kind="workers", short=True, origins=100,
                 goals={"workers": 1.15}),
        Scenario("workers-keep-100", "keep-alive clients, 100 origins, each client asks one of them", (*KEEP, "--faithful"), kind="workers",
                 clients=200, origins=100, goals={"workers": 1.15}),
        Scenario("workers-turn-100", "keep-alive clients, 100 origins, each client asks all in turn", KEEP, kind="workers", origins=100,
                 goals={"workers": 1.15}),
    )),
    "extra": ("Variants, not part of a run of all", (
        Scenario("short-open", "short-lived clients that do not say so, 1 KB", (), short=True),
        Scenario("64k-load", "keep-alive clients, 64 KB, origin and load in one", (*KEEP, "--body", "65536"), clients=16),
    )),
}
SCENARIOS = {s.name: s for _, members in GROUPS.values() for s in members}
MEMBERS = {group: tuple(s.name for s in members) for group, (_, members) in GROUPS.items()}
DEFAULT = tuple(group for group in GROUPS if group != "extra")


def select(names):
    """Scenarios by their names or those of groups, each once; raises KeyError with an unknown name."""
    chosen = dict.fromkeys(s for name in names for s in MEMBERS.get(name, (name,)))
    for name in chosen:
        SCENARIOS[name]
    return list(chosen)
