"""The proxies that are compared: how each is configured and started. All pool upstream connections, run one worker, and write
neither cache nor access log."""

import os
import shutil
import signal
import subprocess
import textwrap

PEERS = {}


def peer(cls):
    PEERS[cls.name] = cls
    return cls


class Peer:
    """A proxy for one scenario. `setup` tells where it listens, where the origin is and which sizes go over the wire."""

    name = program = ""
    programs = ()  # names under which the distribution may have installed it
    forward = True  # reaches any origin that the request names
    handles = None  # scenarios it can do; None: all
    lacks = ()  # scenarios it cannot do
    ready_after = 5.0

    def __init__(self, folder, setup):
        self.folder = folder
        self.setup = setup
        self.process = None
        os.makedirs(folder, exist_ok=True)

    @classmethod
    def find(cls, build):
        for program in cls.programs:
            path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
            if path:
                return path
        return None

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

    def start(self, program, cores):
        """Its own process group, so that all of it and nothing else is stopped."""
        with open(os.path.join(self.folder, "output"), "ab") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", cores, *self.command(program)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=self.environment(), cwd=self.folder, start_new_session=True)

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

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def memory(self):
        """Resident memory in KiB, shared pages counted once."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def stop(self):
        if not self.process:
            return
        pids = self.pids()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None


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
    lacks = ("tls", "log", "origins")

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

    @classmethod
    def find(cls, build):
        path = os.path.join(build, "carpoold")
        return path if os.path.exists(path) else None

    @classmethod
    def version(cls, program):
        return first_line([program, "-V"])

    def command(self, program):
        s = self.setup
        listen = s.listen if s.unix else f"127.0.0.1:{s.listen}"
        tls = f"\n    tls: {{ca: {s.ca}}}" if s.tls else ""
        path = self.write("carpool.yaml", f"""\
            listen: "{listen}"
            admin: {{listen: off}}
            log: {{level: error}}
            accessLog: {{path: {os.path.join(self.folder, "access.log") if s.log else "off"}}}
            server: {{maxConnections: 20000}}
            defaults: {{maxSockets: {s.slots or 2000}, maxTotalSockets: 2000, maxPendingRequests: 20000}}
            """)
        if tls:
            with open(path, "a", encoding="ascii") as f:
                f.write(f"upstreams:\n  origin:\n    match: \"{s.origin_host}:{s.origin_port}\"{tls}\n")
        return [program, "-c", path]


@peer
class Nginx(Peer):
    name = "nginx"
    programs = ("nginx",)
    forward = False

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).replace("nginx version: ", "")

    def command(self, program):
        s = self.setup
        scheme = "https" if s.tls else "http"
        log = f"{self.folder}/access.log" if s.log else "off"
        path = self.write("nginx.conf", f"""\
            daemon off;
            master_process off;
            worker_processes 1;
            worker_rlimit_nofile 20000;
            error_log {self.folder}/error.log crit;
            pid {self.folder}/nginx.pid;
            events {{ worker_connections 19000; multi_accept on; }}
            http {{
                access_log {log};
                client_body_temp_path {self.folder}/body;
                proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/fastcgi;
                uwsgi_temp_path {self.folder}/uwsgi;
                scgi_temp_path {self.folder}/scgi;
                keepalive_requests 1000000000;
                keepalive_timeout 60s;
                tcp_nodelay on;
                client_max_body_size 0;
                upstream origin {{
                    server 127.0.0.1:{s.origin_port}{f" max_conns={s.slots}" if s.slots else ""};
                    keepalive {s.slots or 2000};
                    keepalive_requests 1000000000;
                }}
                server {{
                    listen {s.listen if s.unix else f"127.0.0.1:{s.listen} backlog=4096"};
                    location / {{
                        proxy_pass {scheme}://origin;
                        proxy_http_version 1.1;
                        proxy_set_header Connection "";
                        proxy_set_header Host $host;
                        proxy_buffers 16 32k;
                        proxy_buffer_size 16k;
                        proxy_busy_buffers_size 64k;
                        proxy_max_temp_file_size 0;
                        proxy_request_buffering off;
                        proxy_ssl_session_reuse on;
                        proxy_ssl_verify off;
                    }}
                }}
            }}
            """)
        return [program, "-p", self.folder, "-c", path]


@peer
class Haproxy(Peer):
    name = "haproxy"
    programs = ("haproxy",)
    forward = False

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).split(" - ")[0]

    def command(self, program):
        s = self.setup
        tls = " ssl verify none" if s.tls else ""
        path = self.write("haproxy.cfg", f"""\
            global
                maxconn 4000
                nbthread 1
            defaults
                mode http
                timeout connect 10s
                timeout client 60s
                timeout server 60s
                timeout queue 30s
                option splice-auto
                http-reuse always
            frontend in
                bind {s.listen.replace("unix:", "unix@") if s.unix else f"127.0.0.1:{s.listen} backlog 4096"}
                default_backend out
            backend out
                server origin 127.0.0.1:{s.origin_port} pool-max-conn 2000 pool-purge-delay 60s{f" maxconn {s.slots}" if s.slots else ""}{tls}
            """)
        return [program, "-db", "-f", path]
