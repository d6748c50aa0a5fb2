"""Section 10.5: carpoolctl run lets a command's clients use Carpool, and trust its CA."""

import os
import signal
import subprocess
import sys

import pytest

from .harness import PATIENCE, run
from .harness.daemon import binary, environment
from .test_10_tls import TARGET, Setting

REPLACING = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO")


def words(carpool, *command):
    return ["-s", f"127.0.0.1:{carpool.admin_port}", "run", "--", *command]


def run_with(carpool, *command, env=None):
    return run(*words(carpool, *command), program="CARPOOLCTL", env=env)


def variables(carpool, env=None):
    done = run_with(carpool, "env", "-0", env=env)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def content(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def test_the_proxy(stage):
    """`http_proxy`, `https_proxy`, their upper-case forms; without connectTls nothing about trust"""
    carpool = stage.carpool()
    env = variables(carpool, env={name: None for name in (*REPLACING, "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY")})
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        assert env[name] == f"http://127.0.0.1:{carpool.port}"
    assert not {*REPLACING, "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY"} & set(env)


def test_what_is_trusted(stage):
    """those that replace the system's store name a bundle of both in a private file that goes with the command"""
    setting = Setting(stage)
    own = content(setting.ca)
    script = ("import os; names = os.environ['NAMES'].split();"
              "print(*(os.environ[name] for name in names), oct(os.stat(os.path.dirname(os.environ['SSL_CERT_FILE'])).st_mode));"
              "print(open(os.environ['SSL_CERT_FILE']).read())")
    done = run_with(setting.carpool, sys.executable, "-c", script,
                    env={"SSL_CERT_FILE": None, "NAMES": " ".join((*REPLACING, "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY"))})
    first, _, bundle = done.stdout.partition("\n")
    *bundles, extra, node, mode = first.split()
    assert len(set(bundles)) == 1 and extra != bundles[0] and node == "1" and mode == "0o40700"
    assert own in bundle and bundle.count("BEGIN CERTIFICATE") == setting.carpool.admin("/ca-bundle.pem").text.count("BEGIN CERT")
    assert not os.path.exists(os.path.dirname(extra))


def test_what_was_trusted_before(stage):
    """the file that SSL_CERT_FILE named before, if any, instead of the system's"""
    setting = Setting(stage)
    before, extra = stage.write("before.pem", "BEFORE\n"), stage.write("extra.pem", "EXTRA\n")
    done = run_with(setting.carpool, "sh", "-c", 'cat "$SSL_CERT_FILE"; echo ---; cat "$NODE_EXTRA_CA_CERTS"',
                    env={"SSL_CERT_FILE": before, "NODE_EXTRA_CA_CERTS": extra})
    own = content(setting.ca)
    assert done.stdout == f"BEFORE\n\n{own}---\nEXTRA\n\n{own}"


def test_a_client_without_an_option_of_its_own(stage):
    setting = Setting(stage)
    script = f"import urllib.request as u; print(u.urlopen('https://{TARGET}/').status)"
    for _ in range(3):
        done = run_with(setting.carpool, sys.executable, "-c", script, env={"no_proxy": None, "SSL_CERT_FILE": None})
        assert done.stdout == "200\n", done.stderr
        setting.carpool.wait_row("https://a.pool.test:8443", "p", freeSockets=1)
    assert setting.origin.accepted == 1


@pytest.mark.parametrize("command, status", [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137),
                                             (["sh", "-c", "kill -TERM $$"], 143), (["./no-such-command"], 127), (["/"], 126)])
@pytest.mark.parametrize("connect_tls", [True, False])
def test_the_exit_status(stage, connect_tls, command, status):
    """the exit status is the command's (128 + n for a signal), with a CA or without"""
    carpool = Setting(stage).carpool if connect_tls else stage.carpool()
    folder = stage.path("tmp")
    os.mkdir(folder)
    done = run_with(carpool, *command, env={"TMPDIR": folder})
    assert done.returncode == status and os.listdir(folder) == []
    assert ("cannot start" in done.stderr) == (status in (126, 127))


def test_where_the_ends_of_children_are_ignored(stage):
    """the exit status is the command's, though what starts carpoolctl ignores SIGCHLD; the command finds that as it was"""
    carpool = stage.carpool()
    script = "import signal, sys; sys.exit(7 if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN else 8)"
    done = subprocess.run([binary("CARPOOLCTL"), *words(carpool, sys.executable, "-c", script)], env=environment({}),
                          timeout=PATIENCE, check=False, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert done.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(stage, number):
    """Signals are passed on"""
    setting = Setting(stage)
    folder = stage.path("tmp")
    os.mkdir(folder)
    script = f"trap 'echo caught; exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    # A shell cannot trap what was ignored when it began, as SIGHUP is under nohup
    with subprocess.Popen([binary("CARPOOLCTL"), *words(setting.carpool, "sh", "-c", script)], stdout=subprocess.PIPE, text=True,
                          env=environment({"TMPDIR": folder}),
                          preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE)[0] == "caught\n" and process.returncode == 3
    assert os.listdir(folder) == []
