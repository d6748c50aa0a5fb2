"""Section 10.4: the CA of connectTls, made and shown by carpoolctl, checked with the configuration."""

import os
import re
import signal
import stat
import subprocess

import pytest

from .harness import run, yaml


def ca(*words):
    return run("ca", *words, program="CARPOOLCTL")


def made(stage, *hosts, out="ca", days=None):
    folder = stage.path(out)
    done = ca("create", *(word for host in hosts for word in ("--for", host)), "--out", folder,
              *(["--days", str(days)] if days else []))
    assert done.returncode == 0, done.stderr
    return os.path.join(folder, "ca.pem"), os.path.join(folder, "ca-key.pem")


def text_of(certificate):
    return subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True,
                          check=True).stdout


def config(cert, key, *, connect="pool", match="*.pool.test", **more):
    return yaml.dump({"connectTls": {"cert": cert, "key": key, **more},
                      "upstreams": {"p": {"match": match, "connect": connect}}})


def problems(stage, text, kind="error"):
    done = stage.check(text)
    assert done.returncode == (1 if kind == "error" else 0), done.stderr
    return [line for line in done.stderr.splitlines() if re.match(rf".*checked\.yaml:\d+:\d+: {kind}: ", line)]


def refused(stage, text, *words):
    lines = problems(stage, text)
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


def test_what_is_made(stage):
    """ECDSA P-256, key 0600, pathlen 0, critical name constraints that permit those names and addresses alone"""
    cert, key = made(stage, "pay.test", "*.pool.test", "10.0.0.7")
    text = text_of(cert)
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert "prime256v1" in text and "CA:TRUE, pathlen:0" in text
    assert re.search(r"Name Constraints: critical\s+Permitted:\s+DNS:pay.test\s+DNS:pool.test\s+IP:10.0.0.7/255.255.255.255\s+"
                     r"Excluded:\s+IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0\s", text), text


def test_only_names_or_only_addresses(stage):
    """all other addresses excluded, and all names where only addresses are given"""
    names = text_of(made(stage, "pay.test", out="names")[0])
    assert "IP:0.0.0.0/0.0.0.0" in names and "IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0" in names
    addresses = text_of(made(stage, "::1", out="addresses")[0])
    assert re.search(r"Excluded:\s+DNS:\s+IP:0.0.0.0/0.0.0.0\s", addresses), addresses


@pytest.mark.parametrize("words", [["--for", "*"], ["--for", "a b"], ["--for", "127.1"], ["--for", "*.1.2.3.4"], [],
                                   ["--for", "a", "--days", "0"], ["--for", "a", "more"]])
def test_wrong_usage(stage, words):
    done = ca("create", "--out", stage.path("none"), *words)
    assert done.returncode == 2 and done.stderr and not os.path.exists(stage.path("none"))


@pytest.mark.parametrize("host, warns", [("*.com", True), ("com", True), ("*.pay.test", False), ("localhost", False)])
def test_a_whole_top_level_domain(stage, host, warns):
    """`--for '*'` is refused; a whole top-level domain is little better"""
    done = ca("create", "--for", host, "--out", stage.path("ca"))
    assert done.returncode == 0
    assert ("every host that ends in .com" in done.stderr) == warns, done.stderr


@pytest.mark.parametrize("there", ["ca.pem", "ca-key.pem"])
def test_it_never_overwrites(stage, there):
    path = stage.write(there, "mine\n")
    done = ca("create", "--for", "a.test", "--out", os.path.dirname(path))
    assert done.returncode == 1 and there in done.stderr
    assert open(path, encoding="ascii").read() == "mine\n"
    other = {"ca.pem": "ca-key.pem", "ca-key.pem": "ca.pem"}[there]
    assert not os.path.exists(os.path.join(os.path.dirname(path), other))


@pytest.mark.parametrize("hosts, words", [(["pay.test"], "pay.test (and names below), for "), (["10.0.0.7", "::1"], "10.0.0.7, ::1, for "),
                                          (["10.0.0.7", "*.pay.test"], "10.0.0.7, pay.test (and names below), for ")])
def test_create_says_what_it_made(stage, hosts, words):
    """a name permits those below it; nothing is below an address"""
    done = ca("create", *(word for host in hosts for word in ("--for", host)), "--out", stage.path("ca"))
    assert done.returncode == 0 and f"a CA that may sign for {words}" in done.stdout, done.stdout


@pytest.mark.parametrize("days, words", [(1, "for 1 day\n"), (2, "for 2 days\n")])
def test_create_says_for_how_long(stage, days, words):
    """5 years or `--days`"""
    done = ca("create", "--for", "pay.test", "--days", str(days), "--out", stage.path("ca"))
    assert done.returncode == 0 and words in done.stdout, done.stdout


def test_it_is_shown(stage):
    """prints subject, names, end and SHA-256 fingerprint"""
    cert, _ = made(stage, "pay.test", "10.0.0.7", days=10)
    fingerprint = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"], capture_output=True,
                                 text=True, check=True).stdout.split("=")[1].strip()
    done = ca("show", cert)
    assert done.returncode == 0 and fingerprint in done.stdout and "names: pay.test, 10.0.0.7\n" in done.stdout
    assert re.search(r"^subject: CN=Carpool CA .*\nnames: .*\nexpires: 20\d\d-\d\d-\d\d .* UTC$", done.stdout, re.M), done.stdout


def test_what_cannot_be_shown(stage):
    assert ca("show").returncode == 2
    assert "No such file" in ca("show", stage.path("nowhere.pem")).stderr
    done = ca("show", stage.write("junk.pem", "junk\n"))
    assert done.returncode == 1 and "no certificate" in done.stderr


def test_it_is_taken(stage):
    """what was made is what connect: pool needs: no error, no warning"""
    done = stage.check(config(*made(stage, "pool.test")))
    assert (done.returncode, done.stderr.count("warning")) == (0, 0), done.stderr


def test_what_is_no_ca_for_it(stage):
    cert, key = made(stage, "pool.test")
    other = made(stage, "pool.test", out="other")[1]
    refused(stage, config(stage.path("nowhere.pem"), key), "connectTls.cert", "cannot be read")
    refused(stage, config(cert, other), "connectTls.key", "is not the key")
    refused(stage, config(cert, stage.write("junk.pem", "junk\n")), "connectTls.key", "no private key")
    refused(stage, config(cert, ""), "connectTls.cert", "set connectTls.key")
    refused(stage, config("", key), "connectTls.key", "set connectTls.cert")


def openssl_ca(stage, *, days="30", ca_words="CA:TRUE"):
    cert, key = stage.path("o.pem"), stage.path("o-key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=o",
                    "-days", days, "-addext", f"basicConstraints=critical,{ca_words}", "-keyout", key, "-out", cert],
                   capture_output=True, check=True)
    os.chmod(key, 0o600)
    return cert, key


def test_one_without_name_constraints(stage):
    """errors with line and column (`connectTls.unconstrained: true` allows the last, with a warning)"""
    pair = openssl_ca(stage)
    refused(stage, config(*pair), "connectTls.cert", "connectTls.unconstrained: true")
    warnings = problems(stage, config(*pair, unconstrained=True), "warning")
    assert len(warnings) == 1 and "connectTls.unconstrained" in warnings[0]


def test_a_certificate_that_may_not_sign(stage):
    refused(stage, config(*openssl_ca(stage, ca_words="CA:FALSE")), "connectTls.cert", "holds no CA")


def test_warnings(stage):
    """a key readable by others, and an upstream with `connect: pool` whose `match` the CA does not cover"""
    cert, key = made(stage, "pool.test")
    os.chmod(key, 0o644)
    warnings = problems(stage, config(cert, key), "warning")
    assert len(warnings) == 1 and key in warnings[0] and "connectTls.key" in warnings[0]
    os.chmod(key, 0o600)
    warnings = problems(stage, config(cert, key, match=["a.pool.test", "*.other.test"]), "warning")
    assert len(warnings) == 1 and "upstreams.p" in warnings[0] and "*.other.test" in warnings[0]
    assert not problems(stage, config(cert, key, match="*.other.test", connect="tunnel"), "warning")


def test_the_key_stays_unseen(stage):
    """`--print-config` shows paths"""
    cert, key = made(stage, "pool.test")
    carpool = stage.carpool({"connectTls": {"cert": cert, "key": key}})
    shown = carpool.admin("/config").text
    assert key in shown and "PRIVATE" not in shown


def cores(stage, config):
    """The cores that a daemon leaves which dies with as much room for them as it likes, after a client."""
    carpool = stage.carpool(config, prefix=("sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh"))
    carpool.ends_itself()
    carpool.expected_status = -signal.SIGQUIT
    assert carpool.admin("/healthz").status == 200
    carpool.signal(signal.SIGQUIT)
    carpool.wait()
    return [name for name in os.listdir(carpool.directory) if name.startswith("core")]


def test_no_core_holds_the_key(stage):
    """Keys are … in no core"""
    cert, key = made(stage, "pool.test")
    if not cores(stage, {}):
        pytest.skip("the system or the build writes no cores into the directory of a process")
    assert not cores(stage, {"connectTls": {"cert": cert, "key": key}})
