"""Plays a case once, in one way of cutting it, and says what came of it and what was wrong with that."""
from behaviour.harness.waiting import PATIENCE, soon

from .conversation import Conversation, get, pieces
from .origin import CLEAN, CLEAN_PATH, CaseOrigin, Script

SPARE_HOST = "127.0.0.2"    # the upstream that keeps spare sockets, see conftest.py
VIA = "carpool-under-attack"
SMALL_BUFFER = 16384
MALFORMED = (400, 414, 431, 501, 505)


class Verdict:
    def __init__(self):
        self.outcome = "none"
        self.statuses = []
        self.seen = []          # at the origin: (method, target, host, body)
        self.faults = []

    def need(self, condition, fault):
        if not condition:
            self.faults.append(fault)

    def summary(self):
        """What must not depend on how the bytes were cut. A cut is a refusal that came after the head had gone."""
        failed = self.outcome in ("refuse", "cut")
        return ("failed" if failed else self.outcome, [] if failed and self.seen_cut else self.statuses, self.seen)

    seen_cut = False


def names(origin, daemon):
    return {"ORIGIN": origin.authority, "HOST": origin.host, "PORT": str(origin.port), "VIA": VIA,
            "PROXY": f"127.0.0.1:{daemon.port}", "PROXY_PORT": str(daemon.port), "ADMIN": f"127.0.0.1:{daemon.admin_port}"}


def methods_in(data):
    """The methods of pipelined requests, as far as they say how their answers are framed."""
    first = data.lstrip(b"\r\n").split(b" ", 1)[0]
    return (first.decode("latin-1") if first in (b"HEAD", b"CONNECT") else "GET", "GET")


def own_answer(answer):
    """Only what Carpool made itself has Proxy-Status here; no origin of the corpus sends it."""
    return answer.get("proxy-status") is not None


def judge(case, mode, daemon):
    return judge_request(case, mode, daemon) if case.side == "requests" else judge_response(case, mode, daemon)


# --- requests

def judge_request(case, mode, daemon):
    verdict = Verdict()
    with CaseOrigin() as origin:
        data = case.fill(case.raw, names(origin, daemon))
        talk = Conversation(daemon.port, methods_in(data))
        talk.run(pieces(data, mode), case.requests[1], "half-close" in case.flags, "client-close" in case.flags)
        seen = origin.asked()
        verdict.seen = [(r.method, r.target, r.get("host").replace(origin.authority.encode(), b"{ORIGIN}"), r.body) for r in seen]
        verdict.statuses = [answer.status for answer in talk.answers]
        own = [answer for answer in talk.answers if own_answer(answer)]
        if seen:
            forwarded(case, verdict, talk, seen, own)
        else:
            refused(case, verdict, talk, origin, own)
        if verdict.outcome == "forward":
            check(case, "origin", seen[0], seen[0].connection.received, names(origin, daemon), verdict)
            if talk.answers:
                check(case, "client", talk.answers[0], talk.received, names(origin, daemon), verdict)
        whatever_happened(verdict, talk, origin, daemon)
    return verdict


def forwarded(case, verdict, talk, seen, own):
    verdict.outcome = "forward"
    low, high = case.requests
    verdict.need(low <= len(seen) <= high, f"{len(seen)} requests reached the origin, not {case.requests}")
    verdict.need(len(talk.answers) - len(own) == len(seen), f"{len(seen)} requests, but answers {verdict.statuses}")
    verdict.need(not talk.cut, f"an answer was cut: {talk.received[-200:]!r}")
    if "client-close" in case.flags:
        verdict.need(talk.closed_first, "Carpool did not close the client's connection")


def refused(case, verdict, talk, origin, own):
    verdict.outcome = "refuse"
    if "body-phase" in case.flags:
        broken = origin.open_halves()
        verdict.need(soon(lambda: all(connection.ended for connection in broken)),
                     "the socket of a request that broke off stays open")
    else:
        verdict.need(not origin.heads and not origin.open_halves(), "a part of the request reached the origin")
    if case.requests[0] == 0 and not talk.answers:
        return
    if not talk.answers:
        verdict.need("answer-optional" in case.flags, f"no answer ({talk.ended}) {talk.received[:80]!r}")
        return
    answer = talk.answers[0]
    if "local-answer" not in case.flags:
        verdict.need(400 <= answer.status < 600, f"refused with {answer.status}")
        verdict.need(own, f"no Proxy-Status in the {answer.status}")
    verdict.need(len(talk.answers) == 1 or "close-optional" in case.flags,
                 f"answers {verdict.statuses}: what stood behind a refused request was processed")
    verdict.need(not case.status or answer.status in case.status, f"status {answer.status}, not {case.status}")
    check_error(case, answer, ["http_request_error"] if answer.status in MALFORMED else [], verdict)
    verdict.need(talk.closed_first or "close-optional" in case.flags, "the connection stayed open behind the refusal")


def check_error(case, answer, usual, verdict):
    """Proxy-Status names the cause in the words of RFC 9209."""
    proxy_status = (answer.get("proxy-status") or b"").decode("latin-1")
    wanted = case.error or usual
    verdict.need(not wanted or any(f"error={word}" in proxy_status for word in wanted),
                 f"Proxy-Status {proxy_status!r} with the {answer.status}, not one of {wanted}")


# --- responses

def judge_response(case, mode, daemon):
    verdict = Verdict()
    host = SPARE_HOST if case.when == "spare" else "127.0.0.1"
    with CaseOrigin(host, receive_buffer=SMALL_BUFFER if case.when == "early" else None) as origin:
        known = names(origin, daemon)
        script = origin.script = Script(pieces(case.fill(case.raw, known), mode), case.when, "eof" in case.flags)
        request = case.fill(case.request, known)
        prepare(script, origin, daemon, verdict)
        talk = Conversation(daemon.port, methods_in(request))
        ask(talk, request, case, script)
        answer_seen(case, verdict, talk, origin, script)
        if verdict.outcome == "forward":
            check(case, "client", talk.answers[0], talk.received, known, verdict)
        pooled(case, verdict, talk, origin, script, daemon)
        if case.pool == "pin":
            talk.finish()
        whatever_happened(verdict, talk, origin, daemon)
    return verdict


def prepare(script, origin, daemon, verdict):
    """Brings a free socket about, where the bytes come on one."""
    if script.when not in ("idle", "spare"):
        return
    first = get(daemon.port, origin.url(CLEAN_PATH))
    verdict.need([a.body for a in first.answers] == [CLEAN], "the preparing request failed")
    if script.when == "idle":
        script.play(origin.connections[0])
    else:
        verdict.need(script.sent.wait(PATIENCE), "no spare socket was opened")


def ask(talk, request, case, script):
    if case.pool != "pin":
        talk.run([request], closes="client-close" in case.flags)
        script.judged.set()
        return
    talk.write([request])
    talk.read_until(lambda: talk.answers or talk.error)


def answer_seen(case, verdict, talk, origin, script):
    verdict.statuses = [answer.status for answer in talk.answers]
    verdict.seen = [(r.method, r.target) for r in origin.asked()]
    verdict.need(len(talk.answers) < 2, f"more than one answer: {verdict.statuses}")
    verdict.need(len(verdict.seen) <= 1, f"the request was sent {len(verdict.seen)} times")
    if not talk.answers or talk.cut:
        verdict.outcome, verdict.seen_cut = "cut", True
        verdict.need(not talk.answers, f"bytes behind the answer: {talk.received[-200:]!r}")
    elif own_answer(talk.answers[0]):
        verdict.outcome = "refuse"
        verdict.seen_cut = "cut" in case.expect
        allowed = case.status or [502, 504]
        verdict.need(verdict.statuses[0] in allowed, f"status {verdict.statuses}, not {allowed}")
        check_error(case, talk.answers[0], ["http_", "connection_"], verdict)
    else:
        verdict.outcome = "forward"
        if "client-close" in case.flags:
            verdict.need(talk.closed_first, "Carpool did not close the client's connection")
    if script.when in ("idle", "spare"):
        verdict.need([a.body for a in talk.answers] == [CLEAN], f"the next request got {talk.received[:200]!r}")
    if verdict.outcome != "forward":
        verdict.need(soon(lambda: closed(script)), "the socket was not destroyed")


def closed(script):
    return script.connection is None or script.connection.ended


def pooled(case, verdict, talk, origin, script, daemon):
    """Who gets the socket next. The clean GET comes when all the origin's bytes are in Carpool's kernel."""
    verdict.need(script.sent.wait(PATIENCE), "the origin did not get to say its bytes")
    if script.connection is None or case.pool == "may":
        return
    before = len(script.connection.requests)
    clean = get(daemon.port, origin.url(CLEAN_PATH))
    verdict.need([a.body for a in clean.answers] == [CLEAN], f"the next client got {clean.received[:200]!r}")
    reused = len(script.connection.requests) > before
    if case.pool == "yes":
        verdict.need(reused, "the socket was not kept for the next client")
    else:
        verdict.need(not reused, "the socket was given to another client")
    if case.pool == "pin":
        talk.write([case.fill(b"GET http://{ORIGIN}/clean HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n", names(origin, daemon))])
        talk.read_until(lambda: len(talk.answers) > 1 or talk.error)
        verdict.need(len(script.connection.requests) > before, "the client did not get its own socket again")


# --- both

def whatever_happened(verdict, talk, origin, daemon):
    clean = get(daemon.port, origin.url(CLEAN_PATH))
    verdict.need([a.body for a in clean.answers] == [CLEAN], f"the next client got {clean.received[:200]!r}")
    verdict.need(b"POISON" not in talk.received + clean.received, "a client was given POISON")
    verdict.need(not any(r.target == "/smuggled" for r in origin.all_requests()), "/smuggled reached the origin")
    verdict.need(not origin.errors(), f"the origin got {origin.errors()}")
    verdict.need(not talk.error, f"the client got {talk.error}")
    verdict.need(not daemon.complaints(), daemon.complaints())


def check(case, side, message, received, known, verdict):
    for who, what, wanted in case.checks:
        if who == side:
            wanted = case.fill(wanted, known)
            seen = look(what, message, received, wanted)
            verdict.need(seen is None, f"{who}.{what}: {wanted!r}, but it is {seen!r}")


def as_list(text):
    return [word.strip().decode() for word in text.split(b",") if word.strip()]


def look(what, message, received, wanted):
    """None when `what` is as wanted, else what it is."""
    if what in ("method", "target", "version", "status", "host", "body"):
        seen = message.get("host") if what == "host" else getattr(message, what)
        seen = seen if isinstance(seen, bytes) else str(seen).encode()
        return None if seen == wanted else seen
    if what == "framing":
        seen = message.framing if isinstance(message.framing, str) else "content-length"
        return None if seen in as_list(wanted) else seen
    if what == "header":
        name, _, value = wanted.partition(b": ")
        seen = message.all(name.decode())
        return None if seen == [value] else seen
    if what == "interim":
        return None if message.interim == [int(s) for s in as_list(wanted)] else message.interim
    if what in ("no-byte", "no-text"):
        return received if wanted in received else None
    if what.startswith("via-"):
        via = message.get("via") or b""
        last = via.split(b",")[-1].split()[:1]
        good = via.startswith(wanted) if what == "via-prefix" else last == [wanted]
        return None if good else via
    return presence(what, message, as_list(wanted))


def presence(what, message, wanted):
    there = {name.lower().decode() for name, _ in (message.trailers if what == "no-trailer" else message.fields)}
    wrong = [name for name in wanted if (name.lower() in there) != (what == "present")]
    return wrong or None
