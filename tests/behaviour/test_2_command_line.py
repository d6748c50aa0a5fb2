"""Section 2: the command line, exit status, error messages and signals of carpoold."""

import os
import re
import signal
import time
import socket
import subprocess

import pytest

from .harness import PATIENCE, Client, run, wait_until
from .harness.daemon import NotStarted, binary, environment
from .harness.evidence import inquest


def error_lines(done, file):
    """(line, column, text) of each error; every line of stderr must be one."""
    found = []
    for line in done.stderr.splitlines():
        match = re.fullmatch(re.escape(file) + r":(\d+):(\d+): error: (.+)", line)
        assert match, f"not FILE:LINE:COLUMN: error: ...: {line!r}"
        found.append((int(match[1]), int(match[2]), match[3]))
    return found


def test_without_a_file_it_is_a_working_proxy(stage):
    """with no file at all Carpool is a working forward proxy on 127.0.0.1:3128, admin on 127.0.0.1:3129"""
    for port in (3128, 3129):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"something else on this machine uses port {port}")
    origin = stage.origin()
    with subprocess.Popen([binary("CARPOOLD")], stderr=subprocess.PIPE, env=environment(),
                          cwd=stage.directory) as process:
        try:
            def ready():
                if process.poll() is not None:
                    said = process.stderr.read().decode()
                    assert "in use" in said, said
                    pytest.skip("something else on this machine was quicker at these ports")
                try:
                    return Client(("127.0.0.1", 3128))
                except ConnectionError:
                    return None
            with wait_until(ready, "it listens on 3128") as client:
                assert client.get(origin.url("/")).status == 200
            with Client(("127.0.0.1", 3129)) as admin:
                assert admin.get("/healthz", host="127.0.0.1:3129").status == 200
        finally:
            process.terminate()
            said = process.communicate(timeout=PATIENCE)[1].decode()
            inquest(process.returncode, said)
        assert process.returncode == 0, said


def test_a_default_file_that_cannot_be_read_is_an_error(stage):
    """without [-c] `SYSCONFDIR/carpool/carpool.yaml` if it exists: not the built-in defaults because it cannot be read"""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and unshare -m")
    path = re.search(r"without it (\S+)", run("-h").stdout)[1]
    folder = os.path.dirname(os.path.dirname(path))
    if not os.path.isdir(folder):
        pytest.skip(f"there is no {folder}")
    words = f"mount -t tmpfs none '{folder}' && mkdir '{os.path.dirname(path)}' && ln -s nowhere '{path}' && exec \"$0\" -t"
    done = subprocess.run(["unshare", "-m", "sh", "-c", words, binary("CARPOOLD")], capture_output=True, text=True, check=False,
                          env=environment(), cwd=stage.directory)
    assert done.returncode == 1 and done.stderr.startswith(f"{path}: error: cannot open the configuration file"), done.stderr


@pytest.mark.parametrize("option", ["-c", "--config", "--config="])
def test_the_configuration_file_is_named(stage, option):
    """`-c, --config FILE`"""
    file = stage.write("own.yaml", "defaults: {maxSockets: 7}\n")
    words = [option + file] if option.endswith("=") else [option, file]
    done = run(*words, "--print-config")
    assert done.returncode == 0 and re.search(r"maxSockets: *7\b", done.stdout)


@pytest.mark.parametrize("option", ["-t", "--test-config"])
def test_checking_a_good_file(stage, option):
    """`-t, --test-config` checks and exits [...] Exit status: 0 fine"""
    file = stage.write("good.yaml", "upstreams: {a: {match: a.test, maxSockets: 3}}\n")
    done = run(option, "-c", file)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_checking_binds_nothing(stage):
    """`-t` checks and exits: beside a running daemon too"""
    carpool = stage.carpool()
    done = run("-t", "-c", carpool.file)
    assert done.returncode == 0, done.stderr


def test_checking_a_bad_file(stage):
    """Exit status: [...] 1 could not start or the configuration is invalid"""
    file = stage.write("bad.yaml", "workers: many\n")
    assert run("-t", "-c", file).returncode == 1
    assert run("-c", file).returncode == 1


def test_a_missing_file(stage):
    """Exit status: [...] 1 could not start"""
    done = run("-c", stage.path("nothing-here.yaml"))
    assert done.returncode == 1 and "nothing-here.yaml" in done.stderr


def test_a_port_that_is_taken(stage):
    """Exit status: [...] 1 could not start"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = run("-c", stage.write("taken.yaml", f"listen: 127.0.0.1:{port}\nadmin: {{listen: off}}\n"))
    assert done.returncode == 1 and str(port) in done.stderr


@pytest.mark.parametrize("words", [["--no-such-option"], ["-Z"], ["stray"], ["-c"], ["-l"]], ids=" ".join)
def test_wrong_usage(words):
    """Exit status: [...] 2 wrong usage"""
    done = run(*words)
    assert done.returncode == 2, done.stderr
    assert done.stderr and not done.stdout
    assert all(line.startswith("carpoold") for line in done.stderr.splitlines()), done.stderr


def test_a_listener_that_is_none():
    """`-l, --listen`: a value that is no address is told of"""
    done = run("-l", "not an address")
    assert done.returncode in (1, 2) and "not an address" in done.stderr


def test_version_and_help():
    """`carpoold [...] [-V] [-h]`"""
    for option in ("-V", "--version"):
        done = run(option)
        assert done.returncode == 0 and re.search(r"carpool\w* \d+\.\d+", done.stdout), done
    for option in ("-h", "--help"):
        done = run(option)
        assert done.returncode == 0 and not done.stderr
        for word in ("--config", "--test-config", "--listen", "--print-config"):
            assert word in done.stdout


def test_the_printed_configuration_reads_back(stage):
    """`--print-config` prints the effective configuration with every default filled in, as valid YAML that
    reads back to the same"""
    file = stage.write("own.yaml", """
name: edge
listen: ["127.0.0.1:3200", "unix:/run/x.sock?mode=0600"]
log: {level: warn, format: json}
access: {clients: [127.0.0.0/8], unmatched: deny, connectPorts: [443, 8443], denyAddresses: ["fe80::/10"]}
defaults: {maxSockets: Infinity, timeouts: {free: off, request: 1500}, replayLimit: 1MiB, localAddress: 127.0.0.3}
upstreams:
  "odd: name": {match: ["*.a.test:8443", b.test], address: ["[::1]:80", "unix:/x y"], timeouts: {request: 2s}}
""")
    first = run("-c", file, "--print-config")
    assert first.returncode == 0, first.stderr
    again = run("-c", stage.write("printed.yaml", first.stdout), "--print-config")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    for word in ("maxFreeSockets", "keepAliveTimeoutBuffer", "drainLimit", "denyAddresses", "shutdownTimeout"):
        assert word in first.stdout


def test_the_printed_defaults_read_back(stage):
    """`--print-config` [...] reads back to the same"""
    first = run("-c", stage.write("empty.yaml", ""), "--print-config")
    again = run("-c", stage.write("printed.yaml", first.stdout), "--print-config")
    assert first.returncode == again.returncode == 0
    assert first.stdout == again.stdout


def test_listen_replaces_the_listeners_of_the_file(stage):
    """`-l, --listen` replaces the file's top-level `listen`"""
    origin = stage.origin()
    in_file, first, second = (stage.ports.take() for _ in range(3))
    carpool = stage.carpool({"listen": [f"127.0.0.1:{in_file}"]}, listen=("127.0.0.1", first),
                            args=["-l", f"127.0.0.1:{first}", "--listen", f"127.0.0.1:{second}"])
    for port in (first, second):
        with carpool.client(("127.0.0.1", port)) as client:
            assert client.get(origin.url("/")).status == 200
    with pytest.raises(ConnectionRefusedError):
        carpool.client(("127.0.0.1", in_file))


def test_it_runs_in_the_foreground(stage):
    """Runs in the foreground (systemd, containers); no forking, no pid file."""
    origin = stage.origin()
    carpool = stage.carpool()
    assert carpool.get(origin.url("/")).status == 200
    assert carpool.running
    children = []
    for task in os.listdir(f"/proc/{carpool.pid}/task"):
        with open(f"/proc/{carpool.pid}/task/{task}/children", encoding="ascii") as file:
            children += file.read().split()
    assert not children
    assert sorted(os.listdir(carpool.directory)) == ["carpool.yaml", "stderr", "stdout"]


@pytest.mark.parametrize("text, word", [
    ("upstreams: {a: {match: a.test, tls: {ca: missing.pem}}}\n", "missing.pem"),
    ("listen: 0.0.0.0:3128\n", "access.clients"),
    ("admin: {listen: '0.0.0.0:3129'}\n", "admin.clients"),
], ids=["certificate", "exposed", "exposed-admin"])
def test_the_check_covers_what_a_start_would(stage, text, word):
    """`-t` checks all that a start would: names, values, certificate files, listeners that would be
    exposed."""
    done = stage.check(text)
    assert done.returncode == 1 and word in done.stderr, done


def test_all_errors_come_in_one_pass(stage):
    """Configuration errors, all of them in one pass, on stderr"""
    file = stage.write("bad.yaml", """\
workers: many
shutdownTimeout: 3 parsecs
defaults:
  maxSockets: -1
  bogus: 1
upstreams:
  payments:
    match: a.test
    maxSocket: 3
""")
    done = run("-t", "-c", file)
    assert done.returncode == 1 and not done.stdout
    assert [(line, column) for line, column, _ in error_lines(done, file)] == [(1, 10), (2, 18), (4, 15), (5, 3),
                                                                                (9, 5)]


def test_an_unknown_key_gets_a_suggestion(stage):
    """`FILE:LINE:COLUMN: error: unknown key 'maxSocket' in upstreams.payments (did you mean
    'maxSockets'?)`"""
    file = stage.write("bad.yaml", "upstreams:\n  payments:\n    match: a.test\n    maxSocket: 3\n")
    done = run("-t", "-c", file)
    assert done.stderr == (f"{file}:4:5: error: unknown key 'maxSocket' in upstreams.payments "
                           "(did you mean 'maxSockets'?)\n")


def test_broken_yaml_has_a_place(stage):
    """Configuration errors [...] `FILE:LINE:COLUMN: error:`"""
    file = stage.write("bad.yaml", "listen: [127.0.0.1:3128\nname: x\n")
    done = run("-t", "-c", file)
    assert done.returncode == 1
    assert len(error_lines(done, file)) == 1


def idle_client(carpool, origin):
    """One that keeps its connection after a request."""
    client = carpool.ask(origin.url("/"))
    origin.take().connection.reply()
    client.response()
    return client


def test_a_silent_client_does_not_hold_up_a_stop(stage):
    """SIGTERM/SIGINT graceful stop: what has not begun a request is idle"""
    carpool = stage.carpool({"shutdownTimeout": "60s"})
    carpool.ends_itself()
    silent = carpool.client()
    wait_until(lambda: carpool.admin("/healthz").status == 200, "it has accepted what came before")
    carpool.signal(signal.SIGTERM)
    silent.expect_end()
    assert carpool.wait() == 0


@pytest.mark.parametrize("asked_before", [False, True])
def test_half_a_head_does_not_hold_up_a_stop(stage, asked_before):
    """8: with nothing running the process ends within 1 s; 6: stopping | 503 + Connection: close"""
    origin = stage.origin()
    carpool = stage.carpool({"shutdownTimeout": "60s", "server": {"headersTimeout": "60s"}})
    carpool.ends_itself()
    client = carpool.client()
    if asked_before:
        assert client.get(origin.url("/")).status == 200
    client.send(b"GET http://a.te")
    wait_until(lambda: carpool.admin("/healthz").status == 200, "it has read what came before")
    carpool.signal(signal.SIGTERM)
    response = client.response()
    assert (response.status, response.error) == (503, "proxy_internal_response")
    assert response.fields.get("Connection") == "close"
    client.expect_end()
    assert carpool.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_graceful_stop(stage, number):
    """Signals: SIGTERM/SIGINT graceful stop [...] Exit status: 0 fine (a stop too, graceful [...])"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "20s"})
    carpool.ends_itself()
    idle = idle_client(carpool, origin)
    running = carpool.ask(origin.url("/"))
    request = origin.take()
    carpool.signal(number)
    idle.expect_end()
    assert carpool.running
    request.connection.reply(b"finished")
    response = running.response()
    assert response.text == "finished" and response.fields.get("Connection") == "close"
    assert carpool.wait() == 0


def test_a_log_that_nobody_reads_says_so(stage):
    """Exit status: [...] 1 could not start"""
    os.mkfifo(stage.path("log"))
    listen = [f"127.0.0.1:{stage.ports.take()}" for _ in range(2)]
    file = stage.write("log.yaml", f"listen: '{listen[0]}'\nadmin: {{listen: '{listen[1]}'}}\naccessLog: {{path: log}}\n")
    done = run("-c", file)
    assert done.returncode == 1 and "if it is a pipe, start first what reads it" in done.stderr, done


def test_a_start_waits_for_a_pipe_until_a_signal(stage):
    """Signals: [...] none of them harms a start (TERM and INT then exit 0)"""
    path = stage.path("pipe")
    os.mkfifo(path)
    with subprocess.Popen([binary("CARPOOLD"), "-c", path], stderr=subprocess.PIPE, env=environment()) as process:
        with open(path, "wb") as pipe:  # returns when it is open for reading, too
            pipe.write(b"nonsense:")
            pipe.flush()
            process.send_signal(signal.SIGHUP)
            process.terminate()
            assert process.wait(PATIENCE) == 0 and not process.stderr.read()
    with subprocess.Popen([binary("CARPOOLD"), "-c", path], stderr=subprocess.PIPE, env=environment()) as process:
        with open(path, "wb") as pipe:
            pipe.write(b"nonsense: 1\n")
        assert process.wait(PATIENCE) == 1 and b"nonsense" in process.stderr.read()


def test_a_second_signal_stops_at_once(stage):
    """SIGTERM/SIGINT graceful stop (a second one: at once) [...] Exit status: 0 fine (a stop too, graceful,
    cut or forced)"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "60s"})
    carpool.ends_itself()
    idle = idle_client(carpool, origin)
    carpool.ask(origin.url("/"))
    origin.take()
    carpool.signal(signal.SIGTERM)
    idle.expect_end()       # it has seen the first
    carpool.signal(signal.SIGTERM)
    assert carpool.wait() == 0


def test_a_stop_after_a_delay(stage):
    """shutdownDelay: SIGTERM: go on as before for so long, but /readyz says 503; then stop"""
    origin = stage.origin()
    carpool = stage.carpool({"shutdownDelay": "60s"})
    carpool.ends_itself()
    kept = carpool.client()
    assert kept.get(origin.url("/before")).status == 200 and carpool.admin("/readyz").status == 200
    carpool.signal(signal.SIGTERM)
    wait_until(lambda: carpool.admin("/readyz").status == 503, "it says that it stops")
    response = kept.get(origin.url("/kept"))
    assert response.status == 200 and response.fields.get("Connection") != "close"
    assert carpool.get(origin.url("/new")).status == 200
    assert origin.accepted == 1 and carpool.admin("/healthz").status == 200
    assert carpool.admin("/reload", "POST").status != 200
    carpool.signal(signal.SIGTERM)      # a second one: at once
    assert carpool.wait() == 0


def test_a_delay_ends(stage):
    """shutdownDelay: [...] then stop: gracefully"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownDelay": "300ms", "shutdownTimeout": "60s"})
    carpool.ends_itself()
    running = carpool.ask(origin.url("/"))
    asked = origin.take()
    began = time.monotonic()
    carpool.signal(signal.SIGTERM)
    wait_until(lambda: "stopping: running requests finish" in carpool.stderr, "the delay is over")
    assert time.monotonic() - began >= 0.3
    asked.connection.reply()
    assert running.response().fields.get("Connection") == "close"
    assert carpool.wait() == 0


def test_a_stop_that_is_cut(stage):
    """Exit status: 0 fine (a stop too, graceful, cut or forced)"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": "200ms"})
    carpool.ends_itself()
    carpool.ask(origin.url("/"))
    origin.take()
    carpool.signal(signal.SIGTERM)
    assert carpool.wait() == 0


@pytest.mark.parametrize("method, limit", [("GET", "200ms"), ("POST", "200ms"), ("POST", "60s")])
def test_who_waits_as_a_stop_is_cut_is_told(stage, method, limit):
    """what was not sent can be sent again, which the end of a connection does not say"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"shutdownTimeout": limit, "defaults": {"maxSockets": 1}})
    carpool.ends_itself()
    running = carpool.ask(origin.url("/"))
    origin.take()
    waiting = [carpool.ask(origin.url("/"), method=method, body=b"x" * (method == "POST")) for _ in range(3)]
    carpool.wait_row(origin, sockets=1, requests=3)
    carpool.signal(signal.SIGTERM)
    if limit == "60s":      # a second signal cuts at once
        wait_until(lambda: "stopping: running requests finish" in carpool.stderr, "the stop has begun")
        carpool.signal(signal.SIGTERM)
    for client in waiting:
        response = client.response()
        assert (response.status, response.fields.get("Connection")) == (503, "close")
        assert "Carpool stops, and the request still waited for a connection: send it again" in response.text
        client.expect_end()
    running.expect_end()
    assert carpool.wait() == 0


def test_sighup_reloads(stage):
    """Signals: [...] SIGHUP reload"""
    origin = stage.origin(manual=True)
    carpool = stage.pooled(maxSockets=1)
    clients = [carpool.ask(origin.url("/")) for _ in range(2)]
    origin.take()
    carpool.wait_row(origin, sockets=1, requests=1)
    carpool.write({**carpool.config, "defaults": {"maxSockets": 2}})
    carpool.signal(signal.SIGHUP)
    origin.take()
    assert origin.accepted == 2
    for connection in origin.connections:
        connection.reply()
    assert [client.response().status for client in clients] == [200, 200]


def test_sighup_with_a_bad_file_keeps_the_old_one(stage):
    """SIGHUP reload: an invalid file is told of and changes nothing"""
    origin = stage.origin()
    carpool = stage.carpool()
    carpool.write("defaults: {maxSocket: 2}\n")
    carpool.signal(signal.SIGHUP)
    wait_until(lambda: "maxSocket'" in carpool.stderr, "the error is logged")
    assert carpool.get(origin.url("/")).status == 200


def test_sigusr1_reopens_log_files(stage):
    """Signals: [...] SIGUSR1 reopen log files"""
    origin = stage.origin()
    log = stage.path("access.log")
    carpool = stage.carpool({"accessLog": {"path": log}})

    def lines(path):
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]
    carpool.get(origin.url("/before"))
    wait_until(lambda: len(lines(log)) == 1, "a line in the log")
    os.rename(log, log + ".1")
    carpool.signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(log), "the log is there again")
    carpool.get(origin.url("/after"))
    wait_until(lambda: len(lines(log)) == 1, "a line in the new log")
    assert "/after" in lines(log)[0] and len(lines(log + ".1")) == 1


def test_a_start_that_fails_says_why(stage):
    """Exit status: [...] 1 could not start"""
    with pytest.raises(NotStarted, match="exit status 1"):
        stage.carpool({"listen": ["127.0.0.1:1/x"]}, listen=("127.0.0.1", 1))
