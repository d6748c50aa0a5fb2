"""Running carpoold as an operator would, and looking at it from outside."""

import json
import os
import signal
import subprocess

from . import yaml
from .client import Client, connect, request
from .evidence import inquest, reports
from .waiting import PATIENCE, wait_until
from .wire import Wire

WORKERS = os.environ.get("CARPOOL_WORKERS")     # event loops of every daemon whose test does not say


def binary(name):
    path = os.environ.get(name)
    if not path or not os.access(path, os.X_OK):
        raise RuntimeError(f"set {name} to the program to test (make check does)")
    return os.path.abspath(path)


def environment(extra=None):
    """Ours, without what would change how the daemon behaves; nothing goes past a proxy. None in `extra` takes one away."""
    env = {key: value for key, value in os.environ.items()
           if not key.lower().endswith("_proxy") and key not in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID")}
    env["no_proxy"] = ""
    env.update(extra or {})
    return {key: value for key, value in env.items() if value is not None}


def run(*args, env=None, cwd=None, program="CARPOOLD", patience=PATIENCE):
    """Runs a program to its end; the result has returncode, stdout and stderr as text."""
    done = subprocess.run([binary(program), *map(str, args)], env=environment(env), cwd=cwd, text=True,
                          capture_output=True, timeout=patience, stdin=subprocess.DEVNULL, check=False)
    inquest(done.returncode, done.stderr)
    assert not reports(done.stderr), done.stderr
    return done


def open_files(pid):
    """What the descriptors of a process are: paths, or e.g. socket:[INODE]."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass        # closed since


class NotStarted(Exception):
    """The daemon ended before it listened."""


class Daemon:
    """One running carpoold with a configuration of its own."""

    def __init__(self, config, ports, directory, args=(), env=None, prefix=(), listen=None, name="carpool.yaml",
                 pass_fds=()):
        """`listen` and `admin` of config are filled in where they are missing; `prefix` is a command that
        execs; `pass_fds` are descriptors that it gets."""
        self.directory = directory
        self.file = os.path.join(directory, name)
        self.port = ports.take()
        self.admin_port = ports.take()
        self.config = {"listen": [f"127.0.0.1:{self.port}"], "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
                       "shutdownTimeout": "2s", **config}
        self.write(self.config)
        self.address = listen or next(self._addresses())
        self.clients = []
        self.told_to_end = self.ended_by_test = False
        self.expected_status = 0
        self._err_path = os.path.join(directory, "stderr")
        self._out_path = os.path.join(directory, "stdout")
        with open(self._err_path, "wb") as err, open(self._out_path, "wb") as out:
            self.process = subprocess.Popen([*prefix, binary("CARPOOLD"), "-c", self.file, *args], stdout=out,
                                            stderr=err, stdin=subprocess.DEVNULL, env=environment(env),
                                            cwd=directory, pass_fds=pass_fds)
        self.pid = self.process.pid
        try:
            for address in self._passed_and_admin() if listen else self._addresses():
                wait_until(lambda where=address: self._listens_at(where),
                           lambda where=address: f"carpoold listens on {where}: {self.stderr}")
            if self._admin_is_ours():
                self.admin("/healthz")      # by now it has seen that the connections above are over
        except BaseException:
            self.kill()
            raise

    def write(self, config):
        """Writes the configuration file, in one piece for a daemon that is about to read it."""
        text = config if isinstance(config, str) else yaml.dump(config)
        if WORKERS and "workers:" not in text:
            text = f"workers: {WORKERS}\n{text}"
        new = self.file + ".new"
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, self.file)

    def _listens_at(self, address):
        if self.process.poll() is not None:
            raise NotStarted(f"exit status {self.process.returncode}: {self.stderr}")
        try:
            connect(address).close()
        except (ConnectionError, FileNotFoundError):
            return False
        return True

    def _addresses(self):
        """Where clients can connect, by the configuration."""
        entries = [self.config, self.config["admin"], *self.config.get("upstreams", {}).values()]
        for entry in entries:
            listen = entry.get("listen", [])
            for word in listen if isinstance(listen, (list, tuple)) else [listen]:
                if word != "off":
                    yield _client_address(word)

    def _passed_and_admin(self):
        """A passed socket takes connections before anybody serves it: the admin listener tells more."""
        return [self.address] + ([("127.0.0.1", self.admin_port)] if self._admin_is_ours() else [])

    def _admin_is_ours(self):
        return self.config["admin"].get("listen") == f"127.0.0.1:{self.admin_port}"

    # Life and death

    @property
    def stderr(self):
        with open(self._err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def stdout(self):
        with open(self._out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def signal(self, number):
        self.told_to_end = self.told_to_end or number in (signal.SIGTERM, signal.SIGINT)
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        """Waits for the end; the exit status."""
        return self.process.wait(patience)

    @property
    def running(self):
        return self.process.poll() is None

    def kill(self):
        inquest(self.process.poll(), self.stderr)
        if self.running:
            self.process.kill()
            self.process.wait()

    def finish(self):
        """Stops it and asserts that all was well: it still ran, ends with 0, and no sanitizer complained."""
        try:
            if not self.ended_by_test:
                assert self.running or self.told_to_end, f"carpoold ended with {self.process.returncode} during the test"
                self.signal(signal.SIGTERM)
            try:
                status = self.wait(20)
            except subprocess.TimeoutExpired:
                raise AssertionError("carpoold does not stop on SIGTERM") from None
            assert status == self.expected_status, f"carpoold ended with {status}"
            assert not reports(self.stderr), f"{reports(self.stderr)} on stderr"
        finally:
            self.kill()
            print(f"--- {self.file}\n{yaml.dump(self.config)}--- stderr\n{self.stderr}")

    def ends_itself(self):
        """Says that the test stops the daemon by its own means."""
        self.ended_by_test = True

    # Resources

    def descriptors(self):
        """Open ones but for pipes, of which each loop keeps a few for large content (lib/io/pipe.c)."""
        return sum(not what.startswith("pipe:") for what in open_files(self.pid))

    def pipes(self):
        """Ends of pipes."""
        return sum(what.startswith("pipe:") for what in open_files(self.pid))

    def resident(self):
        """Bytes of memory in RAM."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            words = file.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def sanitized(self):
        """Whether memory figures mean nothing, since the build checks itself."""
        with open(binary("CARPOOLD"), "rb") as file:
            program = file.read()
        return b"__asan_init" in program or b"__tsan_init" in program

    # Clients

    def client(self, address=None, **how):
        client = Client(address or self.address, **how)
        self.clients.append(client)
        return client

    def ask(self, target, **how):
        """A new client with one request under way."""
        return self.client().ask(target, **how)

    def get(self, target, **how):
        """What a short-lived client gets: a connection, one request, its response, and gone."""
        with Client(self.address) as client:
            return client.get(target, **how)

    def raw(self, data, method="GET"):
        """The answer to exactly these bytes, on a connection of their own."""
        with Client(self.address) as client:
            return client.raw(data, method)

    # Inside

    def admin(self, path, method="GET", fields=()):
        with connect(("127.0.0.1", self.admin_port)) as sock:
            wire = Wire(sock)
            wire.send(request(method, path, f"127.0.0.1:{self.admin_port}", [*fields, ("Connection", "close")]))
            return wire.read_response(method)

    def no_client_is_left(self):
        text = self.admin("/metrics").text
        return all(f'carpool_client_connections{{state="{state}"}} 0\n' in text for state in ("active", "idle"))

    def reload(self, config):
        """Has it apply these values of the file's top level instead of those that it has; others stay."""
        self.write({**self.config, **config})
        response = self.admin("/reload", "POST")
        assert response.status == 200, response.text
        assert ": error: " not in response.text, response.text

    def agents(self):
        response = self.admin("/agents")
        assert response.status == 200, response
        return {agent["name"]: agent for agent in json.loads(response.body)["agents"]}

    def row(self, origin, agent="default"):
        """The figures of one origin (its key or an Origin), zeros where there is none."""
        key = getattr(origin, "key", origin)
        for row in self.agents().get(agent, {}).get("origins", []):
            if row["origin"] == key:
                return row
        return {"origin": key, "sockets": 0, "connecting": 0, "freeSockets": 0, "requests": 0, "requestsTotal": 0,
                "socketsOpened": 0, "reusedTotal": 0, "retiredTotal": {}, "reusedSocketErrors": {}, "retriesTotal": 0}

    def wait_row(self, origin, agent="default", patience=PATIENCE, **wanted):
        """Waits until the origin's row has these values, e.g. freeSockets=1; returns the row."""
        last = {}

        def fits():
            last.update(self.row(origin, agent))
            return all(last.get(name) == value for name, value in wanted.items()) and dict(last)
        return wait_until(fits, lambda: f"{wanted} in {last}", patience)

    def retired(self, origin, agent="default"):
        return {reason: count for reason, count in self.row(origin, agent)["retiredTotal"].items() if count}

    def retired_of_agent(self, agent="default"):
        """The same of all its origins, those that are forgotten (the row "*") included."""
        total = {}
        for row in self.agents()[agent]["origins"]:
            for reason, count in row["retiredTotal"].items():
                total[reason] = total.get(reason, 0) + count
        return {reason: count for reason, count in total.items() if count}

    def wait_retired(self, origin, reason, count=1, agent="default", patience=PATIENCE):
        wait_until(lambda: self.retired(origin, agent).get(reason, 0) >= count,
                   lambda: f"{count} retired as {reason}: {self.retired(origin, agent)}", patience)


def _client_address(word):
    """Where a client connects for an entry of `listen`."""
    if word.startswith("unix:"):
        return word[len("unix:"):].partition("?")[0]
    host, _, port = word.rpartition(":")
    return {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]")), int(port)
