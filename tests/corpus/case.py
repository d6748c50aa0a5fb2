"""The files of the corpus: one attack each, as exact bytes with what must come of it. README.md tells the format.

    python3 -m corpus.case FILE.raw     prints a section made of a file's bytes (a fuzzer's find, a capture)
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
SEPARATOR = "--- "
ONCE = {"why", "ref", "expect", "status", "error", "requests", "flags", "when", "pool"}
OUTCOMES = {"requests": {"forward", "refuse"}, "responses": {"forward", "refuse", "cut"}}
FLAGS = {"half-close", "eof", "body-phase", "answer-optional", "close-optional", "client-close", "local-answer"}
ABOUT = {"origin": {"method", "target", "version", "host", "body", "framing", "header", "present", "absent",
                    "no-trailer", "no-byte", "no-text", "via-prefix", "via-version"},
         "client": {"status", "version", "body", "framing", "header", "present", "absent", "no-trailer", "no-byte", "no-text",
                    "via-prefix", "interim"}}
WHENS = {"reply", "early", "idle", "spare"}
POOLS = {"yes", "no", "may", "pin"}
ESCAPES = {"r": 13, "n": 10, "t": 9, "\\": 92}
DEFAULT_REQUEST = b"GET http://{ORIGIN}/case HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"


class BadCase(Exception):
    pass


class Case:
    """One file: its header as attributes, its bytes as `raw` (what the attacker sends), `request` beside it."""

    def __init__(self, path, fields, checks, sections):
        self.path = path
        self.name = path.stem
        self.side = path.parent.name
        self.why = fields["why"]
        self.ref = fields["ref"]
        self.expect = fields["expect"].split()
        self.status = [int(s) for s in fields.get("status", "").split()]
        self.error = fields.get("error", "").split()
        low, _, high = fields.get("requests", "1").partition("-")
        self.requests = (int(low), int(high or low))
        self.flags = set(fields.get("flags", "").split())
        self.when = fields.get("when", "reply")
        self.pool = fields.get("pool", "may")
        self.checks = checks
        self.raw = sections["raw"]
        self.request = sections.get("request", DEFAULT_REQUEST)
        self.verify()

    def verify(self):
        for what, seen, known in (("outcome", self.expect, OUTCOMES[self.side]), ("flag", self.flags, FLAGS),
                                  ("when", [self.when], WHENS), ("pool", [self.pool], POOLS)):
            for word in seen:
                if word not in known:
                    raise BadCase(f"{self.path}: {what} {word!r} is none of {sorted(known)}")
        if not self.expect:
            raise BadCase(f"{self.path}: expects nothing")
        if "refuse" not in self.expect and self.status:
            raise BadCase(f"{self.path}: a status, but no refusal is expected")

    def fill(self, data, names):
        """Bytes with {ORIGIN} and its like replaced by their values."""
        for name, value in names.items():
            data = data.replace(b"{" + name.encode() + b"}", value.encode())
        return data


def load(path):
    path = pathlib.Path(path)
    lines = path.read_text(encoding="ascii").split("\n")
    fields, checks, sections, name = {}, [], {}, None
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith(SEPARATOR):
                name = line[len(SEPARATOR):]
                if name not in ("raw", "request") or name in sections:
                    raise BadCase(f"section {name!r} is unknown or there twice")
                sections[name] = bytearray()
            elif name is not None:
                sections[name] += decode_line(line)
            elif line and not line.startswith("#"):
                header_line(line, fields, checks)
        except BadCase as error:
            raise BadCase(f"{path}:{number}: {error}") from None
    for needed in ("why", "ref", "expect"):
        if not fields.get(needed):
            raise BadCase(f"{path}: no {needed!r}")
    if "raw" not in sections:
        raise BadCase(f"{path}: no section 'raw'")
    return Case(path, fields, checks, {key: bytes(value) for key, value in sections.items()})


def header_line(line, fields, checks):
    key, colon, value = line.partition(":")
    value = value.strip()
    who, _, what = key.partition(".")
    if not colon:
        raise BadCase("a header line has the form 'key: value'")
    if what in ABOUT.get(who, ()):
        checks.append((who, what, decode(value)))
    elif key not in ONCE:
        raise BadCase(f"unknown key {key!r}")
    elif key in fields:
        raise BadCase(f"{key!r} is there twice")
    else:
        fields[key] = value


def decode(text):
    """Text with the escapes \\r \\n \\t \\\\ \\xNN -> bytes."""
    out = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(ord(text[at]))
            at += 1
        elif text[at + 1:at + 2] in ESCAPES:
            out.append(ESCAPES[text[at + 1]])
            at += 2
        elif re.match(r"x[0-9a-f]{2}", text[at + 1:at + 4]):
            out.append(int(text[at + 2:at + 4], 16))
            at += 4
        else:
            raise BadCase(f"unknown escape at {text[at:at + 4]!r}")
    return bytes(out)


def decode_line(line):
    repeat = re.match(r"\*(\d+) (.*)", line)
    return decode(repeat[2]) * int(repeat[1]) if repeat else decode(line)


def encode(data):
    """The inverse of decode(): printable ASCII only, nothing that an editor or git would change."""
    names = {value: "\\" + key for key, value in ESCAPES.items()}
    return "".join(names.get(o) or (chr(o) if 32 <= o < 127 else f"\\x{o:02x}") for o in data)


def encode_section(data, width=100):
    """Bytes -> the lines of a section: a new line behind each line feed, long ones wrapped."""
    lines = []
    for piece in re.findall(rb"[^\n]*\n|[^\n]+", data):
        for at in range(0, len(piece), width):
            line = encode(piece[at:at + width])
            if line.endswith(" "):
                line = line[:-1] + "\\x20"
            if line[0] == "*" or line.startswith(SEPARATOR):
                line = f"\\x{ord(line[0]):02x}" + line[1:]
            lines.append(line)
    return "".join(line + "\n" for line in lines)


def all_cases(side):
    return [load(path) for path in sorted((HERE / side).glob("*.case"))]


if __name__ == "__main__":
    sys.stdout.write(encode_section(pathlib.Path(sys.argv[1]).read_bytes()))
