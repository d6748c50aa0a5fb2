"""Just enough YAML to write a configuration from Python values."""

import json
import re

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|[0-9]+(ms|s|m|h|KiB|MiB)|[0-9.]+:[0-9]+")
NOT_A_STRING = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


class Plain(str):
    """A scalar that is written as it stands, without quotes."""


def dump(value):
    return "".join(_lines(value, 0)) if value else "{}\n"


def _lines(mapping, depth):
    for key, value in mapping.items():
        lead = "  " * depth + _scalar(key) + ":"
        if isinstance(value, dict) and value:
            yield lead + "\n"
            yield from _lines(value, depth + 1)
        else:
            yield f"{lead} {_flow(value)}\n"


def _flow(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Plain)):
        return str(value)
    if value == "off" or (PLAIN.fullmatch(value) and value.lower() not in NOT_A_STRING):
        return value
    return json.dumps(value)
