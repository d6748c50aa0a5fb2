"""Proxies that are slower in all of it: they are there for who has one, and measured where there is little to measure."""

import os
import subprocess

from peers import Peer, first_line, peer


@peer
class Varnish(Peer):
    """A cache by trade; everything is passed."""

    name = "varnish"
    package = "varnish"
    programs = ("varnishd",)

    @classmethod
    def version(cls, program):
        return first_line([program, "-V"]).split(" revision")[0].replace("varnishd (", "")

    def command(self, program):
        s = self.setup
        path = self.write("default.vcl", f"""\
            vcl 4.1;
            backend origin {{ .host = "127.0.0.1"; .port = "{s.origin_port}"; }}
            sub vcl_recv {{ return (pass); }}
            """)
        listen = f"{s.listen[5:]},mode=666" if s.unix else f"127.0.0.1:{s.listen}"
        params = ("thread_pools=1", "thread_pool_min=100", "thread_pool_max=1200", "timeout_idle=600", "backend_idle_timeout=60",
                  "listen_depth=4096")
        return [program, "-F", "-n", self.folder, "-a", listen, "-f", path, "-s", "Transient=malloc,64M",
                "-s", "default,1M", *(x for p in params for x in ("-p", p))]


@peer
class Httpd(Peer):
    name = "apache2"
    package = "apache2"
    programs = ("apache2", "httpd")

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"]).replace("Server version: ", "")

    def command(self, program):
        s = self.setup
        modules = "/usr/lib/apache2/modules"
        threads = 1100 if s.slots else 600 if s.origins == 1 and not s.idle else 64
        log = f'LogFormat "%h %l %u %t \\"%r\\" %>s %b" common\n            CustomLog {self.folder}/access.log common' if s.log else ""
        more = []
        if s.tls:
            more = [f"LoadModule ssl_module {modules}/mod_ssl.so", "SSLProxyEngine on", f"SSLProxyCACertificateFile {s.ca}",
                    "SSLProxyVerify require", "SSLProxyCheckPeerName off"]
        if s.h2:
            more.append(f"LoadModule proxy_http2_module {modules}/mod_proxy_http2.so")
        scheme = {"http": "h2c", "https": "h2"}[s.scheme] if s.h2 else s.scheme
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
            Include {self.write("more.conf", chr(10).join(more))}
            StartServers 1
            ServerLimit 1
            ThreadsPerChild {threads}
            ThreadLimit {threads}
            MaxRequestWorkers {threads}
            AsyncRequestWorkerFactor 400
            MinSpareThreads 1
            MaxSpareThreads {threads}
            User nobody
            Group nogroup
            KeepAlive On
            MaxKeepAliveRequests 0
            KeepAliveTimeout 600
            LogLevel crit
            ErrorLog {self.folder}/error.log
            {log}
            ProxyPass / {scheme}://127.0.0.1:{s.origin_port}/ enablereuse=on keepalive=on max={s.slots or threads} acquire=30000
            """)
        return [program, "-DFOREGROUND", "-f", path]


@peer
class NodeAgent(Peer):
    """The agent whose names Carpool's options have."""

    name = "node"
    package = "nodejs"
    programs = ("node", "nodejs")

    @classmethod
    def version(cls, program):
        return "Node.js " + first_line([program, "--version"])

    def command(self, program):
        s = self.setup
        listen = f'"{s.listen[5:]}"' if s.unix else f'{s.listen}, "127.0.0.1", 4096'
        path = self.write("proxy.js", f"""\
            const http = require("http");
            const upstreams = require("{s.scheme}");
            const agent = new upstreams.Agent({{keepAlive: true, maxSockets: {s.slots or 2000}, maxFreeSockets: 2000,
                                               scheduling: "lifo", rejectUnauthorized: false}});
            http.createServer({{keepAliveTimeout: 600000}}, (request, response) => {{
                const headers = {{...request.headers}};
                delete headers.connection;
                const url = new URL(request.url, "http://127.0.0.1:{s.origin_port}");
                const upstream = upstreams.request({{agent, host: "127.0.0.1", port: url.port, method: request.method,
                                                    path: url.pathname, headers}}, (answer) => {{
                    const fields = {{...answer.headers}};
                    delete fields.connection;
                    delete fields["keep-alive"];
                    response.writeHead(answer.statusCode, fields);
                    answer.pipe(response);
                }});
                upstream.on("error", () => response.destroy());
                request.pipe(upstream);
            }}).listen({listen});
            """)
        return [program, path]


@peer
class Squid(Peer):
    name = "squid"
    package = "squid"
    programs = ("squid",)

    @classmethod
    def version(cls, program):
        return first_line([program, "-v"], "Version").replace("Squid Cache: ", "")

    def listen(self):
        return f"http_port 127.0.0.1:{self.setup.listen}"

    def more(self):
        return ""

    def command(self, program):
        s = self.setup
        path = self.write("squid.conf", f"""\
            {self.listen()}
            http_access allow all
            cache deny all
            cache_mem 8 MB
            access_log {f"stdio:{self.folder}/access.log" if s.log else "none"}
            buffered_logs on
            cache_log {self.folder}/cache.log
            cache_store_log none
            pid_filename none
            coredump_dir {self.folder}
            pinger_enable off
            workers 1
            max_filedescriptors 16384
            client_persistent_connections on
            server_persistent_connections on
            client_idle_pconn_timeout 600 seconds
            shutdown_lifetime 0 seconds
            netdb_filename none
            {self.more()}
            """)
        return [program, "-N", "-f", path]


@peer
class Tinyproxy(Peer):
    """It does not pool: what users have who do without."""

    name = "tinyproxy"
    package = "tinyproxy-bin"
    programs = ("tinyproxy",)
    ONE = "it serves one request a connection"
    lacks = {"keep": ONE, "idle": ONE}

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
        return [program, "-d", "-c", path]


@peer
class SquidBump(Squid):
    """Squid that answers TLS within CONNECT. Debian builds it with OpenSSL as a package of its own, which replaces the other one:
    it is unpacked into the build's folder instead."""

    name = "squid-bump"
    package = ""
    tunnels = True
    PACKAGE = "squid-openssl"

    @classmethod
    def find(cls, build):
        path = os.path.join(build, "bench", cls.PACKAGE, "usr/sbin/squid")
        return path if os.path.exists(path) else None

    @classmethod
    def install(cls, build):
        folder = os.path.join(build, "bench")
        if cls.find(build) or not Squid.find(build):  # it shares the other one's files
            return
        subprocess.run(["apt-get", "-qq", "download", cls.PACKAGE], cwd=folder, check=False, capture_output=True)
        for name in os.listdir(folder):
            if name.startswith(cls.PACKAGE + "_") and name.endswith(".deb"):
                subprocess.run(["dpkg-deb", "-x", os.path.join(folder, name), os.path.join(folder, cls.PACKAGE)], check=False)

    def listen(self):
        s = self.setup
        return f"http_port 127.0.0.1:{s.listen} ssl-bump tls-cert={s.front} generate-host-certificates=off"

    def more(self):
        return f"ssl_bump bump all\n            tls_outgoing_options cafile={self.setup.ca}"
