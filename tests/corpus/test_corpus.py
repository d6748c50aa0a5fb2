"""Every case of requests/ and responses/, each cut in three ways. README.md tells what is judged, and how."""
import random

import pytest

from . import strict
from .case import BadCase, Case, all_cases, decode_line, encode_section, load
from .conversation import MODES, pieces
from .judge import judge

CASES = [*all_cases("requests"), *all_cases("responses")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.side}/{case.name}")
def test_case(case, daemon):
    verdicts = {}
    for mode in MODES:
        verdict = verdicts[mode] = judge(case, mode, daemon)
        if verdict.outcome not in case.expect:
            verdict.faults.insert(0, f"came to {verdict.outcome!r}, not {case.expect}")
        assert not verdict.faults, f"{case.path.name} ({case.why}) {mode}, {verdict.statuses}: " + \
            "; ".join(verdict.faults)
    summaries = {mode: verdict.summary() for mode, verdict in verdicts.items()}
    assert len({repr(summary) for summary in summaries.values()}) == 1, \
        f"{case.path.name} ({case.why}): it depends on how it is cut: {summaries}"


def test_corpus_is_large_and_without_twins():
    assert len(CASES) >= 400
    seen = {}
    for case in CASES:
        key = (case.side, case.raw, case.request, case.when, tuple(sorted(case.flags)))
        assert key not in seen, f"{case.name} is the same as {seen[key]}"
        seen[key] = case.name


def test_each_side_has_controls_that_are_forwarded():
    for side in ("requests", "responses"):
        assert sum(case.side == side and case.expect == ["forward"] for case in CASES) >= 20


def test_format_is_lossless():
    generator = random.Random(1)
    everything = bytes(range(256))
    samples = [everything, everything[::-1], b"*3 a\n", b"--- raw\n", b" \n \n", b"\\x41\\", b"a" * 250, b"\r\n" * 3]
    samples += [generator.randbytes(generator.randrange(300)) for _ in range(200)]
    for data in samples:
        text = encode_section(data)
        assert text.isascii() and not any(line.endswith(" ") for line in text.split("\n"))
        assert b"".join(decode_line(line) for line in text.split("\n")) == data


def test_case_files_with_mistakes_are_refused(tmp_path):
    folder = tmp_path / "requests"
    folder.mkdir()
    good = "why: x\nref: RFC 9112 6.3\nexpect: refuse\n"
    for name, text in {"unknown key": good + "colour: red\n--- raw\n", "unknown outcome": good.replace("refuse", "die"),
                       "no raw": good, "bad escape": good + "--- raw\n\\q\n", "twice": good + good + "--- raw\n",
                       "no reason": "expect: refuse\n--- raw\n"}.items():
        path = folder / "x.case"
        path.write_text(text + ("" if "--- raw" in text or name == "no raw" else "--- raw\n"))
        with pytest.raises(BadCase):
            load(path)


def test_cutting_keeps_every_byte():
    data = random.Random(2).randbytes(9000) + b"\r\n" * 4000
    for mode in MODES:
        assert b"".join(pieces(data, mode)) == data
    assert pieces(b"a\r\nb", "lines") == [b"a\r", b"\n", b"b"]
    assert pieces(b"abc", "bytes") == [b"a", b"b", b"c"]


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
])
def test_reference_parser_is_strict(data):
    with pytest.raises(strict.Malformed):
        strict.request(data)
