"""Section 9 with real servers: mixed requests of short-lived clients, no error, and nothing carried out twice."""

import os
import re
import shutil
import tempfile
import threading

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.client import connect
from .harness.tls import secure
from .test_2_carpoolctl import program, shown  # noqa: F401 pylint: disable=unused-import

CLIENTS, REQUESTS = 4, 250      # so many of each
PAGE = b"x" * 30000
UPLOAD = b"b" * 10000


class Server:
    """A real server: `log` is what it writes, `seen` finds (method, target) of each HTTP/2 request there, and `posted` is what it
    answers to a POST."""

    def __init__(self, log, seen, posted=b"posted"):
        self.log, self.pattern, self.posted = log, re.compile(seen, re.M), posted

    def seen(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return self.pattern.findall(file.read())


def find(name):
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not program:
        pytest.skip(f"{name} is not installed")
    return program


def logged(stage, run, port, *command):
    """Starts it with its output in a file."""
    log = stage.path("output")
    run(port, "sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, *command)
    return log


def readable(stage):
    """A directory with the page for a server that insists on another user than root."""
    stage.public = tempfile.TemporaryDirectory()    # pylint: disable=consider-using-with
    os.chmod(stage.public.name, 0o755)
    with open(f"{stage.public.name}/file", "wb") as file:
        file.write(PAGE)
    return stage.public.name


NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; {user}
events {{ }}
http {{
    log_format seen '$request_method $request_uri $server_protocol';
    access_log {dir}/access.log seen;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    keepalive_requests 5; keepalive_timeout 1s;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {cert}; ssl_certificate_key {key};
        location / {{ root {dir}; error_page 405 =200 @post; }}
        location @post {{ return 200 "posted"; }}
    }}
}}
"""


def nginx(stage, run, port, pair):
    """Ends a connection by GOAWAY after five requests, or when it was idle for a second."""
    run(port, find("nginx"), "-p", stage.directory, "-e", stage.path("error.log"), "-c", stage.write("nginx.conf", NGINX.format(
        dir=stage.directory, port=port, cert=pair.cert, key=pair.key, user="user root;" if os.getuid() == 0 else "")))
    return Server(stage.path("access.log"), r"^(\w+) (\S+) HTTP/2.0$")


NODE = """
const http2 = require('http2'), fs = require('fs');
http2.createSecureServer({cert: fs.readFileSync(process.argv[3]), key: fs.readFileSync(process.argv[4])}, (request, response) => {
    let size = 0;
    request.on('data', part => size += part.length);
    request.on('end', () => {
        fs.appendFileSync(process.argv[5], `${request.method} ${request.url} HTTP/${request.httpVersion}\\n`);
        response.end(request.method === 'POST' ? 'posted' : 'x'.repeat(30000));
    });
}).listen(+process.argv[2], '127.0.0.1');
"""


def node(stage, run, port, pair):
    run(port, find("node"), stage.write("server.js", NODE), str(port), pair.cert, pair.key, stage.path("seen"))
    return Server(stage.path("seen"), r"^(\w+) (\S+) HTTP/2.0$")


def nghttpd(stage, run, port, pair):
    """Takes two requests at a time, and tells each frame."""
    log = logged(stage, run, port, find("nghttpd"), "-v", "--echo-upload", "--max-concurrent-streams=2", "-d", stage.directory,
                 "-a", "127.0.0.1", str(port), pair.key, pair.cert)
    return Server(log, r":method: (\w+)$(?:\n.*?recv.*)*?\n.*:path: (\S+)$", posted=UPLOAD)


APACHE = """
ServerRoot {dir}
PidFile {dir}/pid
ErrorLog {dir}/error.log
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule http2_module {modules}/mod_http2.so
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
DocumentRoot {root}
CustomLog {dir}/access.log "%m %U%q %H"
"""
APACHE_MODULES = "/usr/lib/apache2/modules"


def apache(stage, run, port, pair):
    """Answers a POST of a file with the file, and closes connections that were idle for a while by GOAWAY."""
    program = find("apache2")
    if not os.path.exists(APACHE_MODULES + "/mod_http2.so"):
        pytest.skip("no modules of apache2")
    user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
    run(port, program, "-X", "-f", stage.write("apache.conf", APACHE.format(
        dir=stage.directory, root=readable(stage), port=port, cert=pair.cert, key=pair.key, modules=APACHE_MODULES, user=user)))
    return Server(stage.path("access.log"), r"^(\w+) (\S+) HTTP/2.0$", posted=PAGE)


HAPROXY = """
global
    tune.bufsize 65536
    log stdout format raw local0
defaults
    mode http
    timeout client 30s
    timeout http-request 30s
    log global
    log-format "%HM %HU %HV"
frontend front
    bind 127.0.0.1:{port} ssl crt {pair} alpn h2,http/1.1
    http-request return status 200 content-type text/plain string posted if METH_POST
    http-request return status 200 content-type text/plain file {dir}/file
"""


def haproxy(stage, run, port, pair):
    """Answers a POST before its content has come."""
    with open(pair.cert, encoding="ascii") as cert, open(pair.key, encoding="ascii") as key:
        both = stage.write("pair.pem", cert.read() + key.read())
    log = logged(stage, run, port, find("haproxy"), "-db", "-f", stage.write("haproxy.cfg", HAPROXY.format(
        dir=stage.directory, port=port, pair=both)))
    return Server(log, r"^(\w+) (\S+) HTTP/2.0$")


H2O = """
{user}
listen: {{host: 127.0.0.1, port: {port}, ssl: {{certificate-file: {cert}, key-file: {key}}}}}
num-threads: 1
access-log: {{path: {dir}/access.log, format: "%m %U%q %H"}}
hosts:
  default:
    paths:
      /:
        file.dir: {dir}
"""


def h2o(stage, run, port, pair):
    """Refuses a POST of a file, maybe before its content has come."""
    run(port, find("h2o"), "-c", stage.write("h2o.conf", H2O.format(
        dir=stage.directory, port=port, cert=pair.cert, key=pair.key, user="user: root" if os.getuid() == 0 else "")))
    return Server(stage.path("access.log"), r"^(\w+) (\S+) HTTP/2$", posted=None)


CADDY = """
{{
    admin off
    auto_https off
    storage file_system {dir}/caddy
    log {{
        output file {dir}/caddy.log
    }}
}}
https://127.0.0.1:{port} {{
    tls {cert} {key}
    log {{
        output file {dir}/access.log
        format json
    }}
    @post method POST
    respond @post posted 200
    file_server {{
        root {dir}
    }}
}}
"""


def caddy(stage, run, port, pair):
    run(port, "env", f"HOME={stage.directory}", find("caddy"), "run", "--adapter", "caddyfile", "--config", stage.write("Caddyfile", CADDY.format(
        dir=stage.directory, port=port, cert=pair.cert, key=pair.key)))
    return Server(stage.path("access.log"), r'"proto":"HTTP/2.0","method":"(\w+)","host":"[^"]*","uri":"([^"]*)"')


def mixed(carpool, server, port):
    """Asks by several clients at a time; what went wrong."""
    wrong = []

    def ask(name):
        for number in range(REQUESTS):
            post = number % 2 == 1
            url = f"http://127.0.0.1:{port}/file?{name}-{number}"
            response = carpool.get(url, method="POST" if post else "GET", body=UPLOAD if post else b"")
            wanted = (200, server.posted if post else PAGE) if not post or server.posted else (405, response.body)
            if (response.status, response.body) != wanted:
                wrong.append((url, response.status, response.body[:200]))
    clients = [threading.Thread(target=ask, args=(each,)) for each in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return wrong


@pytest.mark.parametrize("start", [nginx, node, nghttpd, apache, haproxy, h2o, caddy], ids=lambda start: start.__name__)
def test_no_error_and_nothing_twice(stage, run, start):
    """9.5: An origin that sends GOAWAY every N requests (here nginx, keepalive_requests 5) costs no error, for any method."""
    port, count = stage.ports.take(), CLIENTS * REQUESTS
    stage.write("file", PAGE.decode())
    server = start(stage, run, port, certificates().local)
    carpool = stage.carpool(secure(allowH2=True))
    assert not mixed(carpool, server, port)
    wait_until(lambda: len(server.seen()) >= count, lambda: f"all are logged (now {len(server.seen())})")
    assert len(server.seen()) == len(set(server.seen())) == count
    row = carpool.row(f"https://127.0.0.1:{port}", "api")
    assert row["protocol"] == "h2" and row["errors"] == {}
    if start is nginx:
        assert row["retiredTotal"].get("goaway", 0) >= count // 5 - CLIENTS
    connect(("127.0.0.1", port)).close()    # it still runs


def explained(carpool):
    return " ".join(shown(carpool, "explain", "api").split())


def test_an_idle_goaway_is_an_idle_close(stage, run, program):  # noqa: F811
    """11.2: HTTP/2 closes idle connections by GOAWAY (here nginx, keepalive_timeout 1s): told as that, and learned"""
    port = stage.ports.take()
    stage.write("file", PAGE.decode())
    nginx(stage, run, port, certificates().local)
    carpool, origin = stage.carpool(secure(allowH2=True)), f"https://127.0.0.1:{port}"
    for _ in range(9):      # three are enough on a machine that is not too busy to make them alike
        assert carpool.get(f"http://127.0.0.1:{port}/file").status == 200
        carpool.wait_row(origin, "api", sockets=0, freeSockets=0)
        if carpool.row(origin, "api")["learnedFreeTimeoutMs"]:
            break
    assert "goaway" in carpool.row(origin, "api")["openedFor"]
    assert not any("keepalive_requests" in each for each in carpool.agents()["api"]["diagnosis"])
    text = explained(carpool)
    assert re.search(r"goaway: the service had closed earlier ones, which had been idle for \S+ s on average \(GOAWAY\)\.", text), text
    assert re.search(r"Learned: the service closes a used connection that was idle for \S+ s, so Carpool closes it after ", text), text
    assert carpool.get(f"http://127.0.0.1:{port}/file").status == 200
    carpool.wait_retired(origin, "learned-timeout", agent="api")


def test_a_limit_of_requests(stage, run, program):  # noqa: F811
    """9.11: GOAWAYs per N requests (here nginx, keepalive_requests 5)"""
    port = stage.ports.take()
    stage.write("file", PAGE.decode())
    nginx(stage, run, port, certificates().local)
    carpool = stage.carpool(secure(allowH2=True))
    for _ in range(20):
        assert carpool.get(f"http://127.0.0.1:{port}/file").status == 200
    wait_until(lambda: any("(nginx: keepalive_requests)" in each for each in carpool.agents()["api"]["diagnosis"]), "it is said")
    assert "goaway: the service had sent GOAWAY. Raise what limits the requests of a connection" in explained(carpool)
