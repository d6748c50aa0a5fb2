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
class Other(Carpool):
    """Another build of Carpool, for before and after: --other FILE."""

    name = "other"
    path = None

    @classmethod
    def find(cls, build):
        return cls.path


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
                option splice-response
                option splice-request
                http-reuse always
            frontend in
                bind {s.listen.replace("unix:", "unix@") if s.unix else f"127.0.0.1:{s.listen} backlog 4096"}
                default_backend out
            backend out
                server origin 127.0.0.1:{s.origin_port} pool-max-conn 2000 pool-purge-delay 60s{f" maxconn {s.slots}" if s.slots else ""}{tls}
            """)
        return [program, "-db", "-f", path]


@peer
class Httpd(Peer):
    name = "apache2"
    programs = ("apache2", "httpd")
    lacks = ("short-unix", "queue")

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).replace("Server version: ", "")

    def command(self, program):
        s = self.setup
        modules = "/usr/lib/apache2/modules"
        path = self.write("httpd.conf", f"""\
            ServerRoot {self.folder}
            ServerName localhost
            PidFile {self.folder}/httpd.pid
            DefaultRuntimeDir {self.folder}
            Mutex pthread
            Listen 127.0.0.1:{s.listen}
            ListenBacklog 4096
            LoadModule mpm_event_module {modules}/mod_mpm_event.so
            LoadModule authz_core_module {modules}/mod_authz_core.so
            LoadModule proxy_module {modules}/mod_proxy.so
            LoadModule proxy_http_module {modules}/mod_proxy_http.so
            StartServers 1
            ServerLimit 1
            ThreadsPerChild 64
            ThreadLimit 64
            MaxRequestWorkers 64
            MinSpareThreads 1
            MaxSpareThreads 64
            User nobody
            Group nogroup
            KeepAlive On
            MaxKeepAliveRequests 0
            KeepAliveTimeout 60
            LogLevel crit
            ErrorLog {self.folder}/error.log
            ProxyPass / http://127.0.0.1:{s.origin_port}/ enablereuse=on keepalive=on max=64
            """)
        return [program, "-DFOREGROUND", "-f", path]


@peer
class Nghttpx(Peer):
    name = "nghttpx"
    programs = ("nghttpx",)
    lacks = ("queue",)

    @classmethod
    def version(cls, program):
        return first_line([program, "--version"])

    def command(self, program):
        s = self.setup
        frontend = s.listen if s.unix else f"127.0.0.1,{s.listen}"
        tls = ";tls" if s.tls else ""
        return [program, "--conf=/dev/null", f"--frontend={frontend};no-tls", f"--backend=127.0.0.1,{s.origin_port};/{tls}",
                "--workers=1", "--single-process", "--single-thread", "--accesslog-file=/dev/null", "--accesslog-format=", "--errorlog-file=/dev/null",
                "--log-level=FATAL", "--backlog=4096", "--backend-connections-per-host=2000", "--insecure"]


@peer
class Tinyproxy(Peer):
    """It does not pool: what users have who do without."""

    name = "tinyproxy"
    programs = ("tinyproxy",)
    lacks = ("short-unix", "queue", "tls", "10m", "1m")

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"])

    def command(self, program):
        path = self.write("tinyproxy.conf", f"""\
            User nobody
            Group nogroup
            Port {self.setup.listen}
            Listen 127.0.0.1
            Timeout 60
            LogFile "{self.folder}/tinyproxy.log"
            LogLevel Critical
            MaxClients 2000
            Allow 127.0.0.1
            DisableViaHeader Yes
            """)
        os.chmod(self.folder, 0o777)
        return [program, "-d", "-c", path]


@peer
class Squid(Peer):
    name = "squid"
    programs = ("squid",)
    lacks = ("short-unix", "queue")

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"], "Version").replace("Squid Cache: ", "")

    def command(self, program):
        path = self.write("squid.conf", f"""\
            http_port 127.0.0.1:{self.setup.listen}
            http_access allow all
            cache deny all
            cache_mem 8 MB
            access_log none
            cache_log {self.folder}/cache.log
            cache_store_log none
            pid_filename none
            coredump_dir {self.folder}
            pinger_enable off
            workers 1
            max_filedescriptors 16384
            client_persistent_connections on
            server_persistent_connections on
            shutdown_lifetime 0 seconds
            netdb_filename none
            """)
        for parent in (os.path.dirname(self.folder), self.folder):
            os.chmod(parent, 0o777)
        return [program, "-N", "-f", path]


@peer
class TrafficServer(Peer):
    name = "trafficserver"
    programs = ("traffic_server",)
    lacks = ("short-unix", "queue")

    @classmethod
    def version(cls, program):
        return first_line([program, "-V"], "Traffic Server")

    def environment(self):
        return {**os.environ, "TS_ROOT": self.folder, "PROXY_CONFIG_CONFIG_DIR": f"{self.folder}/etc"}

    def command(self, program):
        s = self.setup
        for sub in ("etc", "log", "run", "cache"):
            os.makedirs(os.path.join(self.folder, sub), exist_ok=True)
        for name in ("storage.config", "ip_allow.yaml", "plugin.config", "logging.yaml", "hosting.config", "parent.config", "volume.config",
                     "cache.config", "splitdns.config", "strategies.yaml", "sni.yaml", "ssl_multicert.config", "socks.config"):
            self.write(f"etc/{name}", "")
        self.write("etc/storage.config", f"{self.folder}/cache 16M\n")
        self.write("etc/ip_allow.yaml", """\
            ip_allow:
              - apply: in
                ip_addrs: 127.0.0.0/8
                action: allow
                methods: ALL
            """)
        self.write("etc/remap.config", f"map / http://127.0.0.1:{s.origin_port}/\n")
        self.write("etc/records.config", f"""\
            CONFIG proxy.config.http.server_ports STRING {s.listen}:ip-in=127.0.0.1
            CONFIG proxy.config.admin.user_id STRING #-1
            CONFIG proxy.config.bin_path STRING /usr/bin
            CONFIG proxy.config.local_state_dir STRING {self.folder}/run
            CONFIG proxy.config.log.logfile_dir STRING {self.folder}/log
            CONFIG proxy.config.log.logging_enabled INT 0
            CONFIG proxy.config.http.cache.http INT 0
            CONFIG proxy.config.exec_thread.autoconfig INT 0
            CONFIG proxy.config.exec_thread.limit INT 1
            CONFIG proxy.config.accept_threads INT 0
            CONFIG proxy.config.task_threads INT 1
            CONFIG proxy.config.http.server_session_sharing.pool STRING thread
            CONFIG proxy.config.http.server_session_sharing.match STRING both
            CONFIG proxy.config.http.keep_alive_enabled_out INT 1
            CONFIG proxy.config.http.keep_alive_post_out INT 1
            CONFIG proxy.config.url_remap.remap_required INT 0
            CONFIG proxy.config.http.connect_ports STRING 443
            CONFIG proxy.config.diags.show_location INT 0
            CONFIG proxy.config.cache.ram_cache.size INT 4194304
            """)
        return [program]


@peer
class NodeAgent(Peer):
    """The agent whose names Carpool's options have."""

    name = "node"
    programs = ("node", "nodejs")

    @classmethod
    def version(cls, program):
        return "Node.js " + first_line([program, "--version"])

    def command(self, program):
        s = self.setup
        listen = f'"{s.listen[5:]}"' if s.unix else f'{s.listen}, "127.0.0.1", 4096'
        path = self.write("proxy.js", f"""\
            const http = require("http");
            const agent = new http.Agent({{keepAlive: true, maxSockets: {s.slots or 2000}, maxFreeSockets: 2000, scheduling: "lifo"}});
            http.createServer({{keepAliveTimeout: 60000}}, (request, response) => {{
                const headers = {{...request.headers}};
                delete headers.connection;
                const upstream = http.request({{agent, host: "127.0.0.1", port: {s.origin_port}, method: request.method,
                                               path: request.url, headers}}, (answer) => {{
                    response.writeHead(answer.statusCode, answer.headers);
                    answer.pipe(response);
                }});
                upstream.on("error", () => response.destroy());
                request.pipe(upstream);
            }}).listen({listen});
            """)
        return [program, path]
