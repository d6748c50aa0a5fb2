"""What is printed and recorded: the goals, each met, not met or not to be told, and a table a group."""

import statistics

from peers import OWN, PEERS
from scenarios import GROUPS, MEMBERS, SCENARIOS

NAMES = {"carpool": "carpool", "no-log": "carpool, log off", "no-callers": "carpool, callers off", "fair-queue": "carpool, queue: fair",
         "no-h2": "carpool, HTTP/1.1", "other": "carpool, the other build", "stuck": "carpool beside them",
         "carpool alone": "carpool alone", "squid-bump": "squid (ssl-bump)"}
ENOUGH = 2  # undisturbed rounds to judge a goal by


def number(value):
    """Three digits that count, and no more behind the point than tell something."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(head, rows, words=1):
    """A table whose first columns hold words, the others figures."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * words + " ---: |" * (len(head) - words)
    for row in rows:
        yield "| " + " | ".join([*row, *[""] * (len(head) - len(row))]) + " |"


def is_good(row):
    return bool(row) and not row.get("errors") and "cannot" not in row


def best_peer(scenario, rows):
    """The one that costs least, of those that hold the limit of connections."""
    peers = {n: r["cpu_us"] for n, r in rows.items() if n not in OWN and is_good(r) and r.get("cpu_us") is not None
             and not (scenario.slots and r["open_most"] > scenario.slots)}
    return min(peers, key=peers.get) if peers else None


def quiet_rounds(limit, *rows):
    """The numbers of the rounds in which none of them was disturbed."""
    each = [row["each"]["others"] for row in rows]
    return [i for i in range(min(map(len, each))) if all(shares[i] <= limit for shares in each)]


class Judged:
    """A figure and whether it may be judged: what disturbed rounds give is shown, and decides nothing."""

    def __init__(self, value, is_sure):
        self.value, self.is_sure = value, is_sure


def ratio(limit, row, against, key="cpu_us"):
    """The median over the undisturbed rounds of each round's ratio: what disturbs a round disturbs both."""
    quiet = quiet_rounds(limit, row, against)
    a, b = row["each"][key], against["each"][key]
    rounds = quiet or range(min(len(a), len(b)))
    return Judged(statistics.median(a[i] / b[i] for i in rounds if b[i]), len(quiet) >= min(ENOUGH, len(a), len(b)))


class Goal:
    """`judged` is None when there is no figure; `below` tells whether less is better."""

    def __init__(self, scenario, what, limit, judged, unit="", below=True):
        self.scenario, self.what, self.limit, self.judged, self.unit, self.below = scenario, what, limit, judged, unit, below

    def text(self, value):
        digits = 2 if self.limit < 2 and self.unit in ("", "a request") else 1 if self.limit < 100 else 0
        return f"{value:.{digits}f}{' ' * bool(self.unit)}{self.unit}"

    @property
    def verdict(self):
        if not self.judged or self.judged.value is None:
            return "**void**"
        if not self.judged.is_sure:
            return "disturbed"
        digits = 2 if self.limit < 2 else 1
        value = round(self.judged.value, digits)
        return "met" if (value <= self.limit if self.below else value >= self.limit) else "**not met**"

    def cells(self):
        value = self.judged.value if self.judged else None
        sign = "≤" if self.below else "≥"
        return [f"{self.scenario.title} (`{self.scenario.name}`)", self.what, f"{sign} {self.limit:g}{' ' * bool(self.unit)}{self.unit}",
                "" if value is None else self.text(value), self.verdict]


def cpu_goals(s, rows, limit):
    """Those of CPU time and throughput against other rows."""
    own, best = rows.get("carpool"), best_peer(s, rows)
    for name, most in s.goals.items():
        against = best if name in ("best", "rate") else name
        if name in ("p99", "log"):
            continue
        row = rows.get(against) if against else None
        key = "rate" if name == "rate" else "cpu_us"
        judged = ratio(limit, own, row, key) if is_good(own) and is_good(row) else None
        what = f"{'requests/s' if name == 'rate' else 'CPU'}, of {NAMES.get(against, against) or 'the best peer'}"
        yield Goal(s, what, most, judged, below=name != "rate")


def load_goals(s, rows, limit):
    own = rows.get("carpool")
    yield from cpu_goals(s, rows, limit)
    if "p99" in s.goals:
        ideal = s.clients * s.delay_ms / s.slots
        yield Goal(s, f"p99, of the ideal ({ideal:.0f} ms)", s.goals["p99"], alone(own, limit, lambda r: r["p99_us"] / 1000 / ideal))
    if "log" in s.goals:
        without = rows.get("no-log")
        judged = ratio(limit, own, without) if is_good(own) and is_good(without) else None
        if judged:
            judged.value = 100 * (1 - 1 / judged.value)
        yield Goal(s, "throughput of a core that the log costs", s.goals["log"], judged, "%")


def alone(row, limit, figure):
    """A figure of one row by itself."""
    if not is_good(row):
        return None
    each = row.get("each", {}).get("others", [])
    return Judged(figure(row), len([x for x in each if x <= limit]) >= min(ENOUGH, len(each)))


def stuck_goals(s, rows, limit):
    own, beside = rows.get("carpool"), rows.get("stuck")
    good = is_good(own) and is_good(beside)
    for name, what, key, below in (("stuck_rate", "requests/s, of alone", "rate", False), ("stuck_p99", "p99, of alone", "p99_us", True)):
        yield Goal(s, what, s.goals[name], ratio(limit, beside, own, key) if good else None, below=below)
    yield Goal(s, "memory of each that is stuck", s.goals["stuck_memory"], Judged(beside["memory_each_kib"], True) if good else None, "KiB")


def workers_goals(s, rows, limit):
    pair = [r for r in rows.values() if r.get("workers") in (1, 2)]
    good = len(pair) == 2 and all(is_good(r) for r in pair)
    yield Goal(s, "CPU a request, 2 workers, of 1 worker", s.goals["workers"], ratio(limit, pair[1], pair[0]) if good else None)


def figure_goals(s, rows, limit):
    row = rows.get("fair-queue" if s.kind == "fair" else "carpool")
    judged = alone(row, limit, lambda r: r["figure"])
    if judged and s.steady:
        judged.is_sure = True
    yield Goal(s, "figure", s.goals["figure"], judged, s.unit)


GOALS = {"load": load_goals, "stuck": stuck_goals, "workers": workers_goals}


def goals(scenario, result):
    if not scenario.goals or not ("carpool" in result["rows"] or scenario.kind == "workers"):
        return
    yield from GOALS.get(scenario.kind, figure_goals)(scenario, result["rows"], result["limit"])


def is_disturbed(result, row):
    shares = row.get("each", {}).get("others", [])
    return len([x for x in shares if x <= result["limit"]]) < min(ENOUGH, len(shares))


def cell(scenario, result, name):
    """A figure: CPU µs a request and requests a second, or the scenario's own."""
    row = result["rows"].get(name)
    if row is None:
        return ""
    if "cannot" in row:
        return "–"
    if not is_good(row):
        return "void"
    mark = " ~" if not scenario.steady and is_disturbed(result, row) else ""
    if row.get("cpu_us") is None:
        return number(row["figure"]) + mark
    more = f", {number(row['locks'])} locks" if "locks" in row else ""
    return f"{number(row['cpu_us'])} ({row['rate']:,.0f}/s{more}){mark}"


def columns(results):
    """The rows' names of all scenarios of a group, ours first."""
    names = dict.fromkeys(n for r in results.values() for n in r["rows"])
    known = [n for n in ("carpool", *PEERS) if n in names]
    return list(dict.fromkeys(known + list(names)))


def title(scenario):
    unit = "" if scenario.kind in ("load", "workers", "stuck") or not scenario.unit else f", {scenario.unit}"
    return f"{scenario.title}{unit} (`{scenario.name}`)"


def details(result):
    """p50 and p99 of Carpool, connections that it opened, and what others had of the machine meanwhile."""
    row = next((r for n, r in result["rows"].items() if n in ("carpool", "1 worker")), {})
    shares = [x for r in result["rows"].values() for x in r.get("each", {}).get("others", [])]
    times = f"{row['p50_us'] / 1000:.2f} / {row['p99_us'] / 1000:.2f}" if row.get("p50_us") is not None else ""
    opened = f"{row['opened']:.0f}" if row.get("opened") is not None else ""
    return [times, opened, f"{100 * statistics.median(shares):.0f} %" if shares else ""]


def notes(results):
    """Why cells are empty or void, each reason once."""
    reasons = {}
    for scenario, result in results.items():
        for name, row in result["rows"].items():
            why = row.get("cannot") or (row.get("errors") and row.get("error")) or row.get("note")
            if why:
                reasons.setdefault((NAMES.get(name, name), why), []).append(f"`{scenario}`")
    for (name, why), where in reasons.items():
        yield f"- {name}, {', '.join(where)}: {why}"


def group(name, results):
    """One table of all scenarios of a group."""
    results = {s: results[s] for s in MEMBERS[name] if s in results}
    if not results:
        return
    names = columns(results)
    yield f"## {GROUPS[name][0]} (`{name}`)"
    yield ""
    head = ["", *(f"**{NAMES.get(n, n)}**" if n == "carpool" else NAMES.get(n, n) for n in names), "p50 / p99 ms", "connections", "others"]
    yield from markdown(head, [[title(SCENARIOS[s]), *(cell(SCENARIOS[s], r, n) for n in names), *details(r)] for s, r in results.items()])
    yield ""
    lines = list(notes(results))
    yield from lines
    if lines:
        yield ""


def summary(scenario, result):
    """What a run says of one scenario as soon as it is done."""
    yield f"{scenario.name}: {scenario.title}"
    order = sorted(result["rows"], key=lambda n: result["rows"][n].get("cpu_us") or result["rows"][n].get("figure") or 1e9)
    for name in order:
        row = result["rows"][name]
        shares = row.get("each", {}).get("others", [])
        others = f"  others {100 * statistics.median(shares):.0f} %" if shares else ""
        yield f"  {NAMES.get(name, name):28} {row.get('cannot') or cell(scenario, result, name)}{others}  {row.get('error') or row.get('note') or ''}".rstrip()
    for goal in goals(scenario, result):
        what, limit, value, verdict = goal.cells()[1:]
        yield f"  goal: {what} {limit}: {value or 'no figure'}, {verdict}"


def goals_table(results):
    rows = [g.cells() for name, result in results.items() for g in goals(SCENARIOS[name], result)]
    counts = {v: sum(row[-1] == v for row in rows) for v in ("met", "disturbed")}
    missing = [name for name, s in SCENARIOS.items() if name not in results and s.goals]
    yield "## Goals"
    yield ""
    yield f"{counts['met']} of {len(rows)} met" + (f", {counts['disturbed']} not to be told: disturbed." if counts["disturbed"] else ".") + (
        f" Not measured: {', '.join(missing)}." if missing else "")
    yield ""
    yield from markdown(("scenario", "figure", "goal", "measured", ""), rows, words=2)
    yield ""


def whole(results, about):
    """Everything, for RESULTS.md."""
    ordered = {name: results[name] for name in SCENARIOS if name in results}
    yield from about
    yield from goals_table(ordered)
    for name in GROUPS:
        yield from group(name, ordered)
