"""Section 3: the files of `tls` are read and checked at start and at each reload."""

import json
import os
import re
import shutil
import signal

import pytest

from .harness import wait_until, yaml
from .harness.certificates import certificates, openssl
from .harness.tls import https_key, secure, tls_origin


def config(tls):
    return yaml.dump({"upstreams": {"api": {"match": "api.test", "tls": tls}}})


def refused(stage, tls, *words):
    """At start: a configuration error with line and column that says all these words."""
    done = stage.check(config(tls))
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if re.match(r".*checked\.yaml:\d+:\d+: error: ", line)]
    assert len(errors) == 1 and all(word in errors[0] for word in ("upstreams.api.tls", *words)), done.stderr


@pytest.mark.parametrize("option", ["ca", "cert", "key"])
def test_a_missing_file(stage, option):
    """a missing, unreadable or mismatched one is a configuration error with line and column"""
    pair = certificates().local
    refused(stage, {"cert": pair.cert, "key": pair.key, option: "nowhere.pem"}, option, "nowhere.pem", "No such file")


def test_a_directory(stage):
    refused(stage, {"ca": "."}, "not a regular file")


def test_a_file_without_a_certificate(stage):
    refused(stage, {"ca": stage.write("empty.pem", "nothing\n")}, "tls.ca", "no certificate")


def test_a_broken_certificate(stage):
    text = certificates().local.text().replace("MII", "MIA", 1)
    refused(stage, {"ca": stage.write("broken.pem", text)}, "broken at certificate 1")


def test_the_key_of_another(stage):
    refused(stage, {"cert": certificates().local.cert, "key": certificates().expired.key}, "tls.key", "not the key")


def test_a_certificate_without_its_key(stage):
    refused(stage, {"cert": certificates().local.cert}, "tls.cert", "set tls.key")


def test_a_key_without_its_certificate(stage):
    refused(stage, {"key": certificates().local.key}, "tls.key", "set tls.cert")


SECRET = "open, sesame"


def encrypted(stage, pair):
    """Its key, encrypted with SECRET; a file."""
    path = stage.path("encrypted.pem")
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", f"pass:{SECRET}", "-out", path)
    return path


@pytest.mark.parametrize("how", ["environment", "file", "file without a line end"])
def test_an_encrypted_key(stage, how):
    pair = certificates().leaf(common_name="client")
    tls, env = {"cert": pair.cert, "key": encrypted(stage, pair)}, {}
    if how == "environment":
        tls["passphrase"], env["KEY_SECRET"] = "${KEY_SECRET}", SECRET
    else:   # as systemd passes a credential
        stage.write("key-secret", SECRET + ("\nnotes\n" if how == "file" else ""))
        tls["passphraseFile"], env["CREDENTIALS_DIRECTORY"] = "${CREDENTIALS_DIRECTORY}/key-secret", stage.path("")
    origin = tls_origin(stage, client_ca=certificates().ca)
    carpool = stage.carpool(secure(tls), env=env)
    assert carpool.get(origin.url("/")).status == 200
    assert origin.tls.sockets[0].client_certificate
    assert SECRET not in carpool.admin("/config").text and SECRET not in carpool.stderr


def test_a_passphrase_in_the_file_itself_is_masked(stage):
    pair = certificates().local
    carpool = stage.carpool(secure({"cert": pair.cert, "key": encrypted(stage, pair), "passphrase": SECRET}))
    assert json.loads(carpool.admin("/config").body)["upstreams"]["api"]["tls"]["passphrase"] == "***"


def test_an_encrypted_key_and_no_right_passphrase(stage):
    pair = certificates().local
    tls = {"cert": pair.cert, "key": encrypted(stage, pair)}
    refused(stage, tls, "encrypted.pem' is encrypted: set passphrase or passphraseFile")
    refused(stage, {**tls, "passphrase": "wrong"}, "cannot be decrypted", "is tls.passphrase the right one?")
    wrong, empty = stage.write("wrong", "wrong\n"), stage.write("empty", "\n")
    refused(stage, {**tls, "passphraseFile": wrong}, "is tls.passphraseFile the right one?")
    refused(stage, {**tls, "passphraseFile": empty}, "tls.passphraseFile", "has an empty first line")
    refused(stage, {**tls, "passphraseFile": "nowhere"}, "tls.passphraseFile", "No such file")
    refused(stage, {**tls, "passphrase": SECRET, "passphraseFile": wrong}, "leave out one of them")
    refused(stage, {"passphrase": SECRET}, "tls.passphrase", "set key")
    done = stage.check(config({"cert": pair.cert, "key": pair.key, "passphrase": SECRET}))
    assert done.returncode == 0 and "tls.passphrase: is not needed: the key is not encrypted" in done.stderr


@pytest.mark.parametrize("which", ["expired", "not_yet_valid"])
def test_one_that_is_not_valid_now_is_a_warning(stage, which):
    """an expired or not yet valid one is a warning, shown in `/agents` and as a metric (a wrong clock at boot must
    not stop every upstream)"""
    pair = getattr(certificates(), which)
    origin = tls_origin(stage)
    carpool = stage.carpool(secure({"cert": pair.cert, "key": pair.key}))
    assert carpool.get(origin.url("/")).status == 200
    what = "has expired" if which == "expired" else "not valid yet"
    assert re.search(r":\d+:\d+: warning: upstreams\.api: tls\.cert: .*" + what, carpool.stderr)
    assert any(what in sentence for sentence in carpool.agents()["api"]["diagnosis"])
    metrics = carpool.admin("/metrics").text
    name = "after" if which == "expired" else "before"
    year = 1609459200 if which == "expired" else 3786912000     # 2021 and 2090
    assert f'\ncarpool_agent_certificate_not_{name}_timestamp_seconds{{agent="api"}} {year}\n' in metrics


def test_no_metric_without_a_file(stage):
    carpool = stage.carpool({"upstreams": {"api": {"match": "api.test", "tls": True}}})
    assert "carpool_agent_certificate_not_after_timestamp_seconds{" not in carpool.admin("/metrics").text


# Reload


def reload_with(carpool, change, taken=True):
    """Reloads after change(); waits until it took, or was refused."""
    stamp = lambda: re.search(r"\ncarpool_config_last_reload_timestamp_seconds (\S+)", carpool.admin("/metrics").text)[1]  # noqa: E731
    before = stamp()
    change()
    carpool.signal(signal.SIGHUP)
    wait_until(lambda: stamp() != before, "the reload is over")
    assert f"\ncarpool_config_last_reload_success {int(taken)}\n" in carpool.admin("/metrics").text


def own_pair(stage, pair):
    """Copies into files that a test may change."""
    cert, key = stage.path("client.pem"), stage.path("client.key")

    def put(new):
        shutil.copy(new.cert, cert)
        shutil.copy(new.key, key)
    put(pair)
    return {"cert": cert, "key": key}, put


def test_a_changed_file_retires_the_sockets(stage):
    """8: sockets are retired only where their origin key, `address` or the contents of a TLS file changed (files are
    read again each time)"""
    one, two = (certificates().leaf(common_name=name) for name in ("client one", "client two"))
    files, put = own_pair(stage, one)
    origin = tls_origin(stage, client_ca=certificates().ca)
    carpool = stage.carpool(secure(files))
    assert carpool.get(origin.url("/")).status == 200
    reload_with(carpool, lambda: None)
    assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 1     # nothing had changed
    reload_with(carpool, lambda: put(two))
    assert carpool.get(origin.url("/")).status == 200
    assert origin.accepted == 2 and origin.tls.full == 2    # its session is not used either
    assert len({made.client_certificate for made in origin.tls.sockets}) == 2
    assert sum(carpool.retired(https_key(origin), "api").values()) == 1


def test_a_changed_ca(stage):
    ca = stage.path("ca.pem")
    shutil.copy(certificates().ca.pem, ca)
    origin = tls_origin(stage)
    carpool = stage.carpool(secure({"ca": ca}))
    assert carpool.get(origin.url("/")).status == 200
    reload_with(carpool, lambda: shutil.copy(certificates().other_ca.pem, ca))
    assert carpool.get(origin.url("/")).error == "tls_certificate_error"


def test_an_active_socket_finishes_first(stage):
    one, two = (certificates().leaf(common_name=name) for name in ("client one", "client two"))
    files, put = own_pair(stage, one)
    origin = tls_origin(stage, manual=True, client_ca=certificates().ca)
    carpool = stage.carpool(secure(files))
    client = carpool.ask(origin.url("/"))
    asked = origin.take()
    reload_with(carpool, lambda: put(two))
    asked.connection.reply(b"whole")
    assert client.response().text == "whole"
    client = carpool.ask(origin.url("/"))
    origin.take().connection.reply()
    assert client.response().status == 200 and origin.accepted == 2


def test_a_file_that_went_bad_keeps_the_old_one(stage):
    """Reload swaps the configuration atomically or keeps the old one and says why"""
    files, _ = own_pair(stage, certificates().leaf(common_name="client one"))
    origin = tls_origin(stage, client_ca=certificates().ca)
    carpool = stage.carpool(secure(files))
    assert carpool.get(origin.url("/")).status == 200
    reload_with(carpool, lambda: os.remove(files["key"]), taken=False)
    assert "client.key" in carpool.stderr
    assert carpool.get(origin.url("/")).status == 200 and origin.accepted == 1
