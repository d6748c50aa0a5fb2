"""What a proxy in the bench is: how it is found, started, watched and ended; and our own ones. The others: rivals.py, slower.py."""

import json
import os
import shutil
import signal
import subprocess
import textwrap
import time
from dataclasses import dataclass

PEERS = {}
OWN = ("floor", "carpool", "other", "no-log", "no-callers", "fair-queue", "no-h2")  # never "the best peer"


def peer(cls):
    PEERS[cls.name] = cls
    return cls


@dataclass
class Setup:
    """What a peer's configuration is written from. Clients speak to `listen`: a port, or unix:PATH."""

    listen: str
    unix: bool = False
    origin_port: int = 0  # the first one
    origins: int = 1
    request_size: int = 0
    answer_size: int = 0
    short: bool = False
    tls: bool = False  # towards the origin
    h2: bool = False
    inside: bool = False  # TLS from the clients: in CONNECT, or towards the proxy
    certificates: str = ""  # the folder with ca.pem, front.pem
    inside_ca: str = ""  # the folder with Carpool's CA
    log: bool = False
    callers: bool = False  # it tells them apart
    slots: int = 0
    workers: int = 1
    idle: bool = False  # many clients that stay

    @property
    def origin_ports(self):
        return range(self.origin_port, self.origin_port + self.origins)

    @property
    def scheme(self):
        return "https" if self.tls else "http"

    @property
    def ca(self):
        """What the origin's certificate is verified by."""
        return f"{self.certificates}/ca.pem"

    @property
    def front(self):
        """The certificate for localhost, and its key, of those that end TLS."""
        return f"{self.certificates}/front.pem"

    def client_ca(self, proxy):
        return f"{self.inside_ca}/ca.pem" if isinstance(proxy, Carpool) else self.ca


class Peer:
    """A proxy for one scenario. It pools upstream connections where it can, runs one worker, and writes neither cache nor
    access log unless the scenario says so."""

    name = program = package = ""
    programs = ()  # names under which the distribution may have installed it
    lacks = {}  # scenario: why it cannot do it
    fast = False  # one that may be the best somewhere: always measured in all rounds
    absolute = True  # it takes the whole URL as the target, as forward proxies are asked
    tunnels = False  # where clients speak TLS they begin with CONNECT

    def __init__(self, folder, setup):
        self.folder = folder
        self.setup = setup
        self.process = None
        os.makedirs(folder, exist_ok=True)
        for path in (os.path.dirname(folder), folder):
            os.chmod(path, 0o777)

    @classmethod
    def find(cls, build):
        for program in cls.programs:
            path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
            if path:
                return path
        return None

    @classmethod
    def install(cls, build):
        """For one that is there without being installed."""

    @classmethod
    def version(cls, program):
        return ""

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(textwrap.dedent(text))
        return path

    def command(self, program):
        raise NotImplementedError

    def environment(self):
        return None

    def start(self, program):
        """In a session of its own, so that all of it and nothing else is stopped."""
        with open(os.path.join(self.folder, "output"), "ab") as output:
            self.process = subprocess.Popen(self.command(program), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=self.environment(), cwd=self.folder, start_new_session=True)

    def last_words(self):
        with open(os.path.join(self.folder, "output"), errors="replace") as f:
            return f.read()[-400:].strip()

    def pids(self):
        """The process and all that descend from it."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                        children.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
                except OSError:
                    pass
        found = [self.process.pid]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def signal(self, number, pids=None):
        for pid in pids or self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def memory(self, *kinds):
        """In KiB; without a kind what is resident, shared pages counted once."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += sum(int(line.split()[1]) for line in f if line.split(":")[0] in (kinds or ("Pss",)))
            except OSError:
                pass
        return total

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in self.pids())


def cpu_ns(pid):
    """What all threads of a process have used so far, ended ones too: its clock, as clock_getcpuclockid(3) names it."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def stop_all(peers):
    """Asks all of them to end, waits a second, and insists."""
    pids = {p: p.pids() for p in peers if p.process}
    for p in pids:
        p.signal(signal.SIGCONT, pids[p])
        p.signal(signal.SIGTERM, pids[p])
    end = time.monotonic() + 1
    while time.monotonic() < end and any(p.process.poll() is None for p in pids):
        time.sleep(0.02)
    for p in pids:
        p.signal(signal.SIGKILL, pids[p])
        p.process.wait()
        p.process = None


def first_line(command, pattern=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if pattern:
        lines = [line for line in lines if pattern in line]
    return lines[0].strip() if lines else ""


@peer
class Floor(Peer):
    name = "floor"
    lacks = {"origins": "it has one origin", "start": "it has nothing to read",
             "once": "it cannot tell where messages of several sizes end"}

    @classmethod
    def find(cls, build):
        path = os.path.join(build, "bench", "floor")
        return path if os.path.exists(path) else None

    def command(self, program):
        s = self.setup
        return [program, s.listen, str(s.origin_port), str(s.request_size), str(s.answer_size), *(["short"] if s.short else [])]


@peer
class Carpool(Peer):
    name = "carpool"
    tunnels = True
    logs = tells_callers = speaks_h2 = True  # where the scenario wants it
    queue = "fifo"

    @classmethod
    def find(cls, build):
        path = os.path.join(build, "carpoold")
        return path if os.path.exists(path) else None

    @classmethod
    def version(cls, program):
        return first_line([program, "-V"])

    def upstream(self):
        s = self.setup
        host = "localhost" if s.inside else "127.0.0.1"
        upstream = {"match": f"{host}:{s.origin_port}", "tls": {"ca": s.ca, "servername": "localhost"}}
        if s.h2 and self.speaks_h2:
            upstream["allowH2"] = True
        if s.inside:
            upstream["connect"] = "pool"
        return upstream

    def configuration(self):
        s = self.setup
        whole = {
            "listen": s.listen if s.unix else f"127.0.0.1:{s.listen}",
            "admin": {"listen": "off"},
            "log": {"level": "error"},
            "accessLog": {"path": os.path.join(self.folder, "access.log") if s.log and self.logs else "off"},
            "workers": s.workers,
            "callers": "user" if s.callers and self.tells_callers else "off",
            "server": {"maxConnections": 20000, "keepAliveTimeout": "600s" if s.idle else "60s"},
            "defaults": {"maxSockets": s.slots or 2000, "maxFreeSockets": 4000, "maxTotalSockets": 0, "maxPendingRequests": 20000,
                         "queue": self.queue},
        }
        if s.tls:
            whole["upstreams"] = {"origin": self.upstream()}
        if s.inside:
            whole["connectTls"] = {"cert": f"{s.inside_ca}/ca.pem", "key": f"{s.inside_ca}/ca-key.pem"}
        return whole

    def command(self, program):
        return [program, "-c", self.write("carpool.yaml", json.dumps(self.configuration(), indent=1))]


@peer
class Other(Carpool):
    """Another build of Carpool, for before and after: --other FILE."""

    name = "other"
    path = None

    @classmethod
    def find(cls, build):
        return cls.path


@peer
class NoLog(Carpool):
    """What the access log is measured against."""

    name = "no-log"
    logs = False


@peer
class NoCallers(Carpool):
    """What telling callers apart is measured against."""

    name = "no-callers"
    tells_callers = False


@peer
class FairQueue(Carpool):
    """Callers told apart, and served in turn."""

    name = "fair-queue"
    queue = "fair"


@peer
class NoH2(Carpool):
    """What HTTP/2 is measured against: TLS with HTTP/1.1."""

    name = "no-h2"
    speaks_h2 = False
