"""Section 3: what the configuration file may say, checked by `carpoold -t` and `--print-config`."""

import re

import pytest

from .harness import run

UNIT = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "": 1, "KiB": 1024, "MiB": 1 << 20}


def printed(text):
    """The printed configuration as {"defaults.timeouts.free": "30s", ...}; lists stay text."""
    values, path = {}, []
    for line in text.splitlines():
        match = re.fullmatch(r"( *)(?:\"([^\"]*)\"|([^:#\s\"-][^:#]*)): *(.*?)(?:\s+#.*)?", line)
        if not match:
            continue
        depth = len(match[1])
        path = [each for each in path if each[0] < depth] + [(depth, match[2] or match[3])]
        if match[4]:
            values[".".join(name for _, name in path)] = match[4].strip("\"'")
    return values


def normal(value):
    """One spelling for each time, size and switch."""
    match = re.fullmatch(r"(\d+)(ms|s|m|h|KiB|MiB|)", str(value))
    if match:
        return int(match[1]) * UNIT[match[2]]
    return {"off": 0, "false": "false", "Infinity": "Infinity"}.get(value, value)


def effective(stage, text, env=None):
    done = run("-c", stage.write("effective.yaml", text), "--print-config", env=env)
    assert done.returncode == 0, done.stderr
    return printed(done.stdout)


DEFAULTS = {
    "admin.listen": "127.0.0.1:3129", "log.level": "info", "log.format": "text", "accessLog.path": "off",
    "accessLog.format": "text", "accessLog.query": "keep", "workers": "1", "shutdownTimeout": "30s", "shutdownDelay": "0s",
    "server.maxConnections": "10000", "server.headersTimeout": "60s", "server.requestTimeout": "300s",
    "server.timeout": "60s", "server.keepAliveTimeout": "5s", "server.keepAliveTimeoutBuffer": "1s",
    "server.maxHeaderSize": "16KiB", "server.maxHeadersCount": "100",
    "server.keepAliveInitialDelay": "off", "server.halfClose": "false", "server.serverTiming": "false",
    "access.unmatched": "allow",
    "defaults.keepAlive": "true", "defaults.keepAliveMsecs": "1s", "defaults.scheduling": "lifo",
    "defaults.maxSockets": "100", "defaults.maxFreeSockets": "256", "defaults.minFreeSockets": "0",
    "defaults.maxTotalSockets": "1000", "defaults.maxPendingRequests": "1024", "defaults.maxSocketAge": "10m",
    "defaults.timeouts.connect": "10s", "defaults.timeouts.pending": "30s", "defaults.timeouts.socket": "60s",
    "defaults.timeouts.request": "off", "defaults.timeouts.free": "30s", "defaults.timeouts.tunnel": "1h",
    "defaults.agentKeepAliveTimeoutBuffer": "1s", "defaults.drainLimit": "64KiB", "defaults.replayLimit": "64KiB",
    "defaults.retries": "1", "defaults.family": "any", "defaults.localAddress": "",
    "defaults.via": "true", "defaults.insecureHTTPParser": "false", "defaults.rewriteScheme": "false",
}
UNLIMITED = ["server.maxRequestsPerSocket", "defaults.maxRequestsPerSocket"]


def test_the_defaults(stage):
    """The whole table of section 3."""
    values = effective(stage, "")
    wrong = {key: (values.get(key), value) for key, value in DEFAULTS.items()
             if normal(values.get(key, "")) != normal(value) and not (value == "" and key not in values)}
    assert not wrong
    assert all(values[key] in ("0", "Infinity") for key in UNLIMITED)


def test_the_default_lists(stage):
    """listen: [127.0.0.1:3128] [...] access [...] admin.clients: [127.0.0.0/8, "::1"]"""
    done = run("-c", stage.write("empty.yaml", ""), "--print-config")
    for word in ("127.0.0.1:3128", "127.0.0.0/8", "::1", "443", "169.254.0.0/16", "fe80::/10", "0.0.0.0/8",
                 "224.0.0.0/4", "ff00::/8", "255.255.255.255"):
        assert word in done.stdout, word


@pytest.mark.parametrize("written, milliseconds", [
    ("250", 250), ("250ms", 250), ("5s", 5000), ("2m", 120000), ("1h", 3600000), ('"5s"', 5000), ('"1500"', 1500),
    ("off", 0), ("0", 0)])
def test_times(stage, written, milliseconds):
    """Times are integers in milliseconds (Node's convention) or strings with a unit: `250ms`, `5s`, `2m`,
    `1h`. `0` or `off` switches a time limit off"""
    values = effective(stage, f"defaults: {{timeouts: {{free: {written}}}}}")
    assert normal(values["defaults.timeouts.free"]) == milliseconds


@pytest.mark.parametrize("written", ["5 s", "-1", "-5s", "1.5s", "5sec", "s", "5S", "[5s]", "{}", "5d", "~", "true",
                                     "99999999999999999999", "1e3"])
def test_times_that_are_none(stage, written):
    """wrong types and out-of-range values are errors"""
    done = stage.check(f"defaults: {{timeouts: {{free: {written}}}}}")
    assert done.returncode == 1 and "checked.yaml:1:29: error: " in done.stderr


@pytest.mark.parametrize("written, size", [("2048", 2048), ("16KiB", 16384), ("1MiB", 1 << 20), ('"4KiB"', 4096)])
def test_sizes(stage, written, size):
    """Sizes: bytes or `16KiB`, `1MiB`."""
    values = effective(stage, f"server: {{maxHeaderSize: {written}}}")
    assert normal(values["server.maxHeaderSize"]) == size


@pytest.mark.parametrize("written", ["16kb", "16KB", "1023", "1.5KiB", "2MiB", "-1", "off", "Infinity"])
def test_sizes_that_are_none(stage, written):
    """maxHeaderSize: 16KiB        # 1KiB to 1MiB"""
    done = stage.check(f"server: {{maxHeaderSize: {written}}}")
    assert done.returncode == 1 and "checked.yaml:1:25: error: " in done.stderr


def test_infinity_or_zero_lifts_a_count_limit(stage):
    """`Infinity` or `0` lifts a count limit"""
    spelled = [effective(stage, f"defaults: {{maxSockets: {word}, maxTotalSockets: {word}}}")
               for word in ("Infinity", "0", '"Infinity"')]
    assert spelled[0] == spelled[1] == spelled[2]
    assert spelled[0]["defaults.maxSockets"] in ("0", "Infinity")


@pytest.mark.parametrize("key", ["maxFreeSockets", "minFreeSockets", "maxPendingRequests", "retries", "drainLimit",
                                 "replayLimit"])
def test_where_zero_is_a_meaning_of_its_own(stage, key):
    """(except where 0 is a meaning of its own: [...])"""
    assert effective(stage, f"defaults: {{{key}: 0}}")[f"defaults.{key}"] == "0"


GOOD = {
    "nothing": "",
    "comments": "# only this\n",
    "one-address": "listen: 127.0.0.1:3200\n",
    "v6": "listen: ['[::]:3200']\naccess: {clients: [10.0.0.0/8]}\n",
    "unix": "listen: ['unix:/tmp/x.sock?mode=0600']\n",
    "access-of-an-exposed-listener": "listen: 0.0.0.0:3128\naccess: {clients: [10.0.0.0/8]}\n",
    "admin-off": "admin: {listen: off}\n",
    "admin-off-quoted": "admin: {listen: 'off'}\n",
    "workers-auto": "workers: auto\n",
    "star": "upstreams: {all: {match: '*'}}\n",
    "several-patterns": "upstreams: {a: {match: [a.test, 'a.test:8080', '*.a.test', '*.a.test:81']}}\n",
    "host-twice": "upstreams:\n  a: {host: x.test, listen: 127.0.0.1:3201}\n  b: {host: x.test, listen: "
                  "127.0.0.1:3202}\n",
    "addresses": "upstreams: {a: {match: a.test, address: ['10.0.0.7:80', '[::1]:80', 'unix:/run/a.sock']}}\n",
    "anchors": "defaults: {timeouts: &t {free: 5s}}\nupstreams: {a: {match: a.test, timeouts: *t}}\n",
    "family-number": "defaults: {family: 4}\n",
    "family-word": "defaults: {family: any}\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed(stage, name):
    """section 3's forms are accepted without a word"""
    done = stage.check(GOOD[name])
    assert done.returncode == 0, done.stderr


# name: (text, line:column of the first error, what it names)
BAD = {
    "unknown-section": ("servers: {}\n", "1:1", "servers"),
    "unknown-key": ("server: {maxConnection: 5}\n", "1:10", "maxConnections"),
    "duplicate-key": ("workers: 1\nworkers: 2\n", "2:1", "workers"),
    "duplicate-nested": ("server:\n  timeout: 5s\n  timeout: 6s\n", "3:3", "timeout"),
    "duplicate-upstream": ("upstreams:\n  a: {match: a.test}\n  a: {match: b.test}\n", "3:3", "a"),
    "text-for-number": ("defaults: {maxSockets: many}\n", "1:24", "maxSockets"),
    "number-for-boolean": ("defaults: {keepAlive: 1}\n", "1:23", "keepAlive"),
    "list-for-section": ("server: [1]\n", "1:9", "server"),
    "word-for-choice": ("defaults: {scheduling: random}\n", "1:24", "lifo"),
    "fraction": ("defaults: {maxSockets: 1.5}\n", "1:24", "maxSockets"),
    "negative": ("defaults: {maxSockets: -1}\n", "1:24", "maxSockets"),
    "headers-count-zero": ("server: {maxHeadersCount: 0}\n", "1:27", "maxHeadersCount"),
    "headers-count-high": ("server: {maxHeadersCount: 1001}\n", "1:27", "maxHeadersCount"),
    "family-5": ("defaults: {family: 5}\n", "1:20", "family"),
    "local-address": ("defaults: {localAddress: here}\n", "1:26", "localAddress"),
    "port-zero": ("listen: 127.0.0.1:0\n", "1:9", "127.0.0.1:0"),
    "port-high": ("listen: 127.0.0.1:65536\n", "1:9", "65536"),
    "mapped-address": ("listen: ['[::ffff:127.0.0.1]:3200']\n", "1:10", "IPv4"),
    "absent-address": ("listen: [127.0.0.1:3200, '192.0.2.77:3200']\naccess: {clients: [10.0.0.0/8]}\n", "1:26",
                       "192.0.2.77"),
    "absent-address-of-admin": ("admin: {listen: '192.0.2.77:3200', clients: [10.0.0.0/8]}\n", "1:17", "192.0.2.77"),
    "no-port": ("listen: 127.0.0.1\n", "1:9", "127.0.0.1"),
    "unix-mode": ("listen: 'unix:/x?mode=abc'\n", "1:9", "mode"),
    "cidr": ("access: {clients: [10.0.0.0/33]}\n", "1:20", "10.0.0.0/33"),
    "cidr-word": ("access: {denyAddresses: [everything]}\n", "1:26", "everything"),
    "connect-port": ("access: {connectPorts: [70000]}\n", "1:25", "70000"),
    "unmatched": ("access: {unmatched: maybe}\n", "1:21", "deny"),
    "node-timeout": ("defaults: {timeout: 5s}\n", "1:12", "timeouts."),
    "agentkeepalive": ("defaults: {freeSocketTimeout: 5s}\n", "1:12", "timeouts.free"),
    "upstream-timeout": ("upstreams: {a: {match: a.test, timeout: 5s}}\n", "1:32", "timeouts."),
    "default-upstream": ("upstreams:\n  default: {match: a.test}\n", "2:3", "default"),
    "no-match": ("upstreams:\n  a: {maxSockets: 3}\n", "2:", "match"),
    "match-scheme": ("upstreams: {a: {match: 'http://a.test'}}\n", "1:24", "http://a.test"),
    "match-path": ("upstreams: {a: {match: a.test/x}}\n", "1:24", "a.test/x"),
    "match-inner-star": ("upstreams: {a: {match: 'a.*.test'}}\n", "1:24", "a.*.test"),
    "match-half-an-address": ("upstreams: {a: {match: '127.1'}}\n", "1:24", "127.0.0.1"),
    "match-twice": ("upstreams:\n  a: {match: a.test}\n  b: {match: a.test}\n", "3:14", "a.test"),
    "match-twice-case": ("upstreams:\n  a: {match: a.test}\n  b: {match: A.Test}\n", "3:14", "test"),
    "listen-many-hosts": ("upstreams: {a: {match: '*.a.test', listen: 127.0.0.1:3201}}\n", "1:", "host"),
    "host-without-listen": ("upstreams: {a: {host: a.test}}\n", "1:", "listen"),
    "address-without-port": ("upstreams: {a: {match: a.test, address: 10.0.0.1}}\n", "1:41", "10.0.0.1"),
    "same-listener-twice": ("listen: [127.0.0.1:3200, 127.0.0.1:3200]\n", "1:26", "127.0.0.1:3200"),
    "listener-of-admin": ("listen: 127.0.0.1:3200\nadmin: {listen: 127.0.0.1:3200}\n", "2:17", "127.0.0.1:3200"),
    "not-a-mapping": ("- listen\n", "1:1", ""),
    "two-documents": ("workers: 1\n---\nworkers: 2\n", "", "document"),
    "tab": ("server:\n\ttimeout: 5s\n", "2:1", ""),
    "unknown-anchor": ("server: *nowhere\n", "1:9", "in quotes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_an_error(stage, name):
    """Unknown keys, duplicate keys, wrong types and out-of-range values are errors."""
    text, place, word = BAD[name]
    done = stage.check(text)
    assert done.returncode == 1
    assert f"checked.yaml:{place}" in done.stderr and word in done.stderr, done.stderr
    for line in done.stderr.splitlines():
        assert re.match(r".*checked\.yaml:\d+:\d+: error: ", line), line


@pytest.mark.parametrize("written, env, value", [
    ("${WHERE}", {"WHERE": "info"}, "info"), ("${WHERE:-warn}", {}, "warn"), ("${WHERE:-warn}", {"WHERE": "debug"},
                                                                             "debug"),
    ("wa${WHERE}", {"WHERE": "rn"}, "warn")])
def test_the_environment(stage, written, env, value):
    """`${NAME}` and `${NAME:-default}` in string values are taken from the environment"""
    assert effective(stage, f"log: {{level: '{written}'}}", env)["log.level"] == value


def test_typing_comes_after_the_environment(stage):
    """`${NAME}` [...]; typing comes after"""
    values = effective(stage, "defaults: {maxSockets: '${N}', timeouts: {free: '${T:-7s}'}, keepAlive: '${K}'}",
                       {"N": "12", "K": "false"})
    assert values["defaults.maxSockets"] == "12"
    assert normal(values["defaults.timeouts.free"]) == 7000
    assert values["defaults.keepAlive"] == "false"


def test_a_value_from_the_environment_is_checked(stage):
    """typing comes after: a wrong value from the environment is an error at its place"""
    done = stage.check("defaults: {maxSockets: '${N}'}", env={"N": "many"})
    assert done.returncode == 1 and "checked.yaml:1:24: error: " in done.stderr


def test_an_unset_variable_is_an_error(stage):
    """an unset NAME without default is an error"""
    done = stage.check("log: {level: '${CARPOOL_TEST_UNSET}'}")
    assert done.returncode == 1
    assert "checked.yaml:1:14: error: " in done.stderr and "CARPOOL_TEST_UNSET" in done.stderr


def test_two_dollars_are_one(stage):
    """`$$` is a dollar"""
    origin = stage.origin()
    carpool = stage.carpool({"listen": [f"unix:{stage.path('a$$b$${HOME}.sock')}"]},
                            listen=stage.path("a$b${HOME}.sock"))
    assert carpool.get(origin.url("/")).status == 200


def test_relative_file_names(stage):
    """Relative file names are relative to the configuration file."""
    done = run("-t", "-c", stage.write("tls.yaml", "upstreams: {a: {match: a.test, tls: {ca: own-ca.pem}}}\n"),
               cwd="/")
    assert done.returncode == 1 and "own-ca.pem" in done.stderr
    with open("/etc/ssl/certs/ca-certificates.crt", encoding="utf-8") as bundle:
        stage.write("own-ca.pem", bundle.read().split("-----END CERTIFICATE-----")[0] +
                    "-----END CERTIFICATE-----\n")
    assert run("-t", "-c", stage.path("tls.yaml"), cwd="/").returncode == 0


def test_an_upstream_inherits_the_defaults(stage):
    """every upstream, and the agent "default", inherits these"""
    values = effective(stage, """
defaults: {maxSockets: 7, timeouts: {free: 3s, request: 9s}}
upstreams: {a: {match: a.test, timeouts: {request: 2s}}, b: {match: b.test, maxSockets: 8}}
""")
    assert values["upstreams.a.maxSockets"] == "7" and values["upstreams.b.maxSockets"] == "8"
    assert normal(values["upstreams.a.timeouts.free"]) == 3000
    assert normal(values["upstreams.a.timeouts.request"]) == 2000
    assert normal(values["upstreams.b.timeouts.request"]) == 9000
