"""The fast ones of the other proxies that Debian has, each as good as its configuration lets it be. The others: slower.py."""

import os

from peers import Peer, first_line, peer

REVERSE = "its upstreams are declared beforehand"
NO_UNIX = "it listens on no unix socket"
NO_QUEUE = "beyond the limit it answers an error: no queue"


@peer
class Nginx(Peer):
    name = "nginx"
    fast = True
    package = "nginx-light"
    programs = ("nginx",)
    lacks = {"queue": NO_QUEUE + " in the free edition"}

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).replace("nginx version: ", "")

    def upstreams(self):
        s = self.setup
        return "\n".join(f"upstream o{port} {{ server 127.0.0.1:{port}; keepalive {2000 if s.origins == 1 else 4}; "
                         f"keepalive_requests 1000000000; keepalive_timeout 60s; }}" for port in s.origin_ports)

    def command(self, program):
        s = self.setup
        self.write("upstreams.conf", self.upstreams())
        log = f"{self.folder}/access.log combined buffer=64k flush=1s" if s.log else "off"
        target = f"o{s.origin_port}" if s.origins == 1 else "o$target_port"
        ends_tls = f"ssl_certificate {s.front}; ssl_certificate_key {s.front}; ssl_protocols TLSv1.2 TLSv1.3;" if s.inside else ""
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
                keepalive_timeout 600s;
                tcp_nodelay on;
                client_max_body_size 0;
                map_hash_bucket_size 128;
                map $http_host $target_port {{ ~:(?<p>[0-9]+)$ $p; default {s.origin_port}; }}
                include {self.folder}/upstreams.conf;
                server {{
                    listen {s.listen if s.unix else f"127.0.0.1:{s.listen} backlog=4096"}{" ssl" if s.inside else ""};
                    {ends_tls}
                    location / {{
                        proxy_pass {s.scheme}://{target};
                        proxy_http_version 1.1;
                        proxy_set_header Connection "";
                        proxy_set_header Host $http_host;
                        proxy_buffers 16 32k;
                        proxy_buffer_size 16k;
                        proxy_busy_buffers_size 64k;
                        proxy_max_temp_file_size 0;
                        proxy_request_buffering off;
                        proxy_ssl_protocols TLSv1.2 TLSv1.3;
                        proxy_ssl_session_reuse on;
                        proxy_ssl_verify off;
                    }}
                }}
            }}
            """)
        return [program, "-p", self.folder, "-c", path]


@peer
class Haproxy(Peer):
    """Splicing is forced on: `splice-auto` spliced too seldom here."""

    name = "haproxy"
    fast = True
    package = "haproxy"
    programs = ("haproxy",)

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).split(" - ")[0]

    def command(self, program):
        s = self.setup
        tls = f" ssl verify required ca-file {s.ca}{' alpn h2' if s.h2 else ''}" if s.tls else ""
        ends_tls = f" ssl crt {s.front} alpn http/1.1" if s.inside else ""
        limit = f" maxconn {s.slots}" if s.slots else ""
        server = f"127.0.0.1:{s.origin_port}" if s.origins == 1 else "0.0.0.0:0"
        route = "" if s.origins == 1 else """
                http-request set-dst hdr(host),regsub(:.*,)
                http-request set-dst-port hdr(host),regsub(.*:,)"""
        path = self.write("haproxy.cfg", f"""\
            global
                maxconn {11000 if s.idle else 4000}
                no strict-limits
                nbthread 1
                tune.pool-high-fd-ratio 90
                tune.pool-low-fd-ratio 80
            defaults
                mode http
                timeout connect 10s
                timeout client 600s
                timeout server 60s
                timeout queue 30s
                option splice-response
                option splice-request
                http-reuse always
            frontend in
                bind {s.listen.replace("unix:", "unix@") if s.unix else f"127.0.0.1:{s.listen} backlog 4096"}{ends_tls}
                default_backend out
            backend out{route}
                server origin {server} pool-max-conn 2000 pool-purge-delay 60s{limit}{tls}
            """)
        return [program, "-db", "-f", path]


@peer
class H2o(Peer):
    name = "h2o"
    fast = True
    package = "h2o"
    programs = ("h2o",)
    absolute = False
    lacks = {"queue": "it has no limit of upstream connections", "origins": REVERSE}

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"])

    def command(self, program):
        s = self.setup
        ends_tls = f", ssl: {{certificate-file: {s.front}, key-file: {s.front}}}" if s.inside else ""
        listen = f"{{port: {s.listen[5:]}, type: unix}}" if s.unix else f"{{host: 127.0.0.1, port: {s.listen}{ends_tls}}}"
        path = self.write("h2o.conf", f"""\
            listen: {listen}
            user: root
            num-threads: 1
            max-connections: 19000
            tcp-fastopen: 0
            http1-request-timeout: 600
            error-log: /dev/null
            proxy.timeout.keepalive: 60000
            proxy.ssl.verify-peer: OFF
            proxy.preserve-host: ON
            hosts:
              default:
                paths:
                  /: {{proxy.reverse.url: "{s.scheme}://127.0.0.1:{s.origin_port}/"}}
            """)
        return [program, "-m", "worker", "-c", path]


@peer
class TrafficServer(Peer):
    name = "trafficserver"
    fast = True
    package = "trafficserver"
    programs = ("traffic_server",)
    lacks = {"short-unix": NO_UNIX}

    @classmethod
    def version(cls, program):
        return first_line([program, "-V"], "Traffic Server").split("(")[0].strip()

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
        self.write("etc/remap.config", f"map / {s.scheme}://127.0.0.1:{s.origin_port}/\n" if s.origins == 1 else "")
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
            CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 600
            CONFIG proxy.config.net.default_inactivity_timeout INT 600
            CONFIG proxy.config.ssl.client.verify.server.policy STRING DISABLED
            CONFIG proxy.config.url_remap.remap_required INT 0
            CONFIG proxy.config.reverse_proxy.enabled INT {1 if s.origins == 1 else 0}
            CONFIG proxy.config.http.per_server.connection.max INT {s.slots}
            CONFIG proxy.config.http.per_server.connection.queue_size INT -1
            CONFIG proxy.config.http.per_server.connection.queue_delay INT 5
            CONFIG proxy.config.http.connect_ports STRING 443
            CONFIG proxy.config.diags.show_location INT 0
            CONFIG proxy.config.cache.ram_cache.size INT 4194304
            """)
        return [program]


@peer
class Nghttpx(Peer):
    name = "nghttpx"
    fast = True
    package = "nghttp2-proxy"
    programs = ("nghttpx",)
    CLOSE = "it passes `Connection: close` on, so it pools nothing for these clients"
    lacks = {"queue": "its limit is one a client", "origins": REVERSE, "short": CLOSE, "short-unix": CLOSE, "tls-short": CLOSE,
             "slow": CLOSE}

    @classmethod
    def version(cls, program):
        return first_line([program, "--version"])

    def command(self, program):
        s = self.setup
        frontend = s.listen if s.unix else f"127.0.0.1,{s.listen}"
        tls = (";tls" if s.tls else "") + (";proto=h2" if s.h2 else "")
        return [program, "--conf=/dev/null", f"--frontend={frontend};no-tls", f"--backend=127.0.0.1,{s.origin_port};/{tls}",
                "--workers=1", "--single-process", "--single-thread", "--accesslog-file=/dev/null", "--accesslog-format=",
                "--errorlog-file=/dev/null", "--log-level=FATAL", "--backlog=4096", "--backend-connections-per-host=2000",
                "--backend-keep-alive-timeout=60s", "--frontend-keep-alive-timeout=600s", "--insecure"]
