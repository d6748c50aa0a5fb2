"""What is printed and recorded: the goals, each met or not, and a table a scenario."""

import statistics

from peers import OWN
from scenarios import SCENARIOS

LOAD_HEAD = ("proxy", "CPU µs/request (least–most)", "of the floor", "of the best peer", "requests/s", "p50 ms", "p99 ms",
             "upstream connections", "memory MiB", "errors")


def number(value):
    """Three digits that count, and no more behind the point than tell something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(head, rows, words=1):
    """A table whose first columns hold words, the others figures."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * words + " ---: |" * (len(head) - words)
    for row in rows:
        yield "| " + " | ".join([*row, *[""] * (len(head) - len(row))]) + " |"


def shown(name):
    return {"carpool": "**carpool**", "no-log": "carpool, log off", "no-callers": "carpool, callers off", "other": "carpool, the other build"}.get(name, name)


def is_good(row):
    return not row.get("errors") and "cannot" not in row


def best_peer(scenario, rows, key="cpu_us"):
    """The one that costs least, of those that hold the limit of connections."""
    peers = {n: r[key] for n, r in rows.items() if n not in OWN and is_good(r) and r.get(key) is not None
             and not (scenario.slots and r["open_most"] > scenario.slots)}
    return min(peers, key=peers.get) if peers else None


def ratio(rows, name, against, key="cpu_us"):
    """The median over the rounds of each round's ratio: what disturbs a round disturbs both."""
    a, b = rows[name]["each"][key], rows[against]["each"][key]
    if len(a) != len(b):
        return rows[name][key] / rows[against][key]
    return statistics.median(x / y for x, y in zip(a, b))


class Goal:
    """`value` is None when it could not be judged; `below` tells whether less is better."""

    def __init__(self, scenario, what, limit, value, unit="", below=True):
        self.scenario, self.what, self.limit, self.value, self.unit, self.below = scenario, what, limit, value, unit, below

    @property
    def verdict(self):
        if self.value is None:
            return "**void**"
        digits = 2 if self.limit < 2 else 1
        good = round(self.value, digits) <= self.limit if self.below else round(self.value, digits) >= self.limit
        return "met" if good else "**not met**"

    def cells(self):
        def text(value):
            digits = 2 if self.limit < 2 and not self.unit else 1 if self.limit < 100 else 0
            return f"{value:.{digits}f}{self.unit}"
        limit = f"{'≤' if self.below else '≥'} {self.limit:g}{self.unit}"
        return [f"{self.scenario.title} (`{self.scenario.name}`)", self.what, limit, "" if self.value is None else text(self.value),
                self.verdict]


def load_goals(s, rows):
    own = rows.get("carpool", {"cannot": "not measured"})
    good, best = is_good(own), best_peer(s, rows)
    if s.floor_goal and "floor" in rows:
        has = good and is_good(rows.get("floor", {"cannot": ""}))
        yield Goal(s, "CPU, of the floor", s.floor_goal, ratio(rows, "carpool", "floor") if has else None)
    if s.peer_goal and best:
        yield Goal(s, f"CPU, of the best peer ({best})", s.peer_goal, ratio(rows, "carpool", best) if good else None)
    if s.rate_goal and best:
        yield Goal(s, f"requests/s, of the same peer ({best})", s.rate_goal,
                   ratio(rows, "carpool", best, "rate") if good else None, below=False)
    if s.p99_goal:
        ideal = s.clients * s.delay_ms / s.slots
        yield Goal(s, f"p99, of the ideal ({ideal:.0f} ms)", s.p99_goal, own["p99_us"] / 1000 / ideal if good else None)
    if s.log_goal:
        has = good and is_good(rows.get("no-log", {"cannot": ""}))
        yield Goal(s, "throughput of a core that the log costs", s.log_goal,
                   100 * (1 - 1 / ratio(rows, "carpool", "no-log")) if has else None, " %")
    if s.callers_goal:
        has = good and is_good(rows.get("no-callers", {"cannot": ""}))
        yield Goal(s, "CPU time, of that with callers: off", s.callers_goal, ratio(rows, "carpool", "no-callers") if has else None)


UNITS = {"idle": (" bytes", "user memory, each"), "latency": (" µs", "added at the median"), "once": ("", "upstream connections")}


def goals(scenario, result):
    rows = result["rows"]
    if "carpool" not in rows and scenario.kind != "workers":
        return
    if scenario.kind == "load":
        yield from load_goals(scenario, rows)
    elif scenario.kind == "workers":
        pair = [n for n, r in rows.items() if r.get("workers") in (1, 2)]
        if len(pair) == 2:
            has = all(is_good(rows[n]) for n in pair)
            yield Goal(scenario, "CPU a request, 2 workers, of 1 worker", scenario.goal, ratio(rows, pair[1], pair[0]) if has else None)
    elif scenario.goal:
        unit, what = UNITS[scenario.kind]
        yield Goal(scenario, what, scenario.goal, rows.get("carpool", {}).get("figure"), unit)


def excuse(name, row, width):
    """The row of who has no figures."""
    return [shown(name), f"cannot: {row['cannot']}" if "cannot" in row else f"void: {row['error']}", *[""] * (width - 3),
            str(row.get("errors", ""))]


def load_table(scenario, rows):
    best = best_peer(scenario, rows)
    floor = "floor" if is_good(rows.get("floor", {"cannot": ""})) else None
    order = sorted(rows.items(), key=lambda item: (item[1].get("cpu_us") or 1e9, item[0]))
    fair = scenario.slots
    head = (*LOAD_HEAD, "answers a client") if fair else LOAD_HEAD
    lines = []
    for name, r in order:
        if not is_good(r):
            lines.append(excuse(name, r, len(LOAD_HEAD)))
            continue
        each = r["each"]["cpu_us"]
        spread = f" ({number(min(each))}–{number(max(each))})" if len(each) > 1 else ""
        against = [f"{ratio(rows, name, x):.2f}" if x else "" for x in (floor, best)]
        lines.append([shown(name), number(r["cpu_us"]) + spread, *against, f"{r['rate']:.0f}", f"{r['p50_us'] / 1000:.2f}",
                      f"{r['p99_us'] / 1000:.2f}", f"{r['opened']:.0f}", f"{r['memory_kib'] / 1024:.1f}", "0"])
        if fair:
            lines[-1].append(f"{r['least']:.0f}–{r['most']:.0f}")
    yield from markdown(head, lines)


def workers_table(_, rows):
    first = next(iter(rows))
    counts = ("locks", "contended", "wakeups")

    def line(name, r):
        if not is_good(r):
            return excuse(name, r, 10)
        per_request = [number(r[c]) if c in r else "" for c in counts]
        return [name, number(r["cpu_us"]), f"{ratio(rows, name, first):.2f}" if is_good(rows[first]) else "", f"{r['rate']:.0f}",
                f"{r['p50_us'] / 1000:.2f}", f"{r['p99_us'] / 1000:.2f}", f"{r['opened']:.0f}", *per_request]

    yield from markdown(("carpool with", "CPU µs/request", "of 1 worker", "requests/s", "p50 ms", "p99 ms", "upstream connections",
                         "locks/request", "that waited", "wake-ups/request"), [line(n, r) for n, r in rows.items()])


def special_table(scenario, rows):
    columns = {"idle": ("before_kib", "after_kib"), "latency": ("p50_us", "p99_us")}.get(scenario.kind, ())
    titles = {"before_kib": "private memory before, KiB", "after_kib": "after, KiB", "p50_us": "p50 µs", "p99_us": "p99 µs"}

    def order(item):
        value = item[1].get("figure")
        return (1e9 if value is None else value, item[0])

    def line(name, r):
        if not is_good(r):
            return excuse(name, r, len(columns) + 2)
        figure = "" if r["figure"] is None else number(r["figure"])
        return [shown(name), figure, *(number(r[c]) for c in columns)]

    direct = [item for item in rows.items() if item[0] == "direct"]
    rest = sorted((item for item in rows.items() if item[0] != "direct"), key=order)
    yield from markdown(("proxy", scenario.figure, *(titles[c] for c in columns)), [line(n, r) for n, r in direct + rest])


TABLES = {"load": load_table, "workers": workers_table}


def section(scenario, result):
    yield f"### {scenario.title} (`{scenario.name}`)"
    yield ""
    yield from TABLES.get(scenario.kind, special_table)(scenario, result["rows"])
    yield ""
    for goal in goals(scenario, result):
        what, limit, value, verdict = goal.cells()[1:]
        yield f"- goal: {what} {limit}: {value or 'no figure'}, {verdict}"
    disturbed = [r["others"] for r in result["rows"].values() if r.get("others") is not None]
    noise = f"; other programs had {100 * statistics.median(disturbed):.0f} % of the machine" if disturbed else ""
    if scenario.p99_goal and is_good(result["rows"].get("carpool", {"cannot": ""})):
        yield f"- the origin's {scenario.delay_ms:g} ms came to {result['rows']['carpool']['work_us'] / 1000:.2f} ms with carpool before it"
    yield f"- {result['when']}, {result['rounds']} rounds{noise}"
    yield ""


def goals_table(results):
    rows = [g.cells() for name, result in results.items() for g in goals(SCENARIOS[name], result)]
    met = sum(row[-1] == "met" for row in rows)
    missing = [name for name, s in SCENARIOS.items() if name not in results and
               (s.goal or s.floor_goal or s.peer_goal or s.p99_goal or s.log_goal or s.callers_goal) and name != "64k-load"]
    yield "## Goals"
    yield ""
    yield f"{met} of {len(rows)} met." + (f" Not measured: {', '.join(missing)}." if missing else "")
    yield ""
    yield from markdown(("scenario", "figure", "goal", "measured", ""), rows, words=2)
    yield ""


def whole(results, about):
    """Everything, for RESULTS.md."""
    ordered = {name: results[name] for name in SCENARIOS if name in results}
    yield from about
    yield from goals_table(ordered)
    yield "## Scenarios"
    yield ""
    for name, result in ordered.items():
        yield from section(SCENARIOS[name], result)
