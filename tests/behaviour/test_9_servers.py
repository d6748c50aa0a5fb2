"""Section 9 with real servers: mixed requests of short-lived clients, no error, and nothing carried out twice."""

import os
import shutil
import threading

import pytest

from .harness import wait_until
from .harness.certificates import certificates
from .harness.client import connect
from .harness.tls import secure

REQUESTS = 50       # of each of 4 clients at a time

NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; {user}
events {{ }}
http {{
    log_format seen '$connection $request_method $request_uri $status $server_protocol';
    access_log {dir}/access.log seen;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    keepalive_requests 5;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {cert}; ssl_certificate_key {key};
        location / {{ root {dir}; error_page 405 =200 @post; }}
        location @post {{ return 200 "posted"; }}
    }}
}}
"""

NODE = """
const http2 = require('http2'), fs = require('fs');
http2.createSecureServer({cert: fs.readFileSync(process.argv[3]), key: fs.readFileSync(process.argv[4])}, (request, response) => {
    let size = 0;
    request.on('data', part => size += part.length);
    request.on('end', () => {
        fs.appendFileSync(process.argv[5], `x ${request.method} ${request.url} 200 HTTP/${request.httpVersion}\\n`);
        response.end(request.method === 'POST' ? 'posted' : 'x'.repeat(30000));
    });
}).listen(+process.argv[2], '127.0.0.1');
"""


def find(name):
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not program:
        pytest.skip(f"{name} is not installed")
    return program


def nginx(stage, run, port):
    pair = certificates().local
    stage.write("file", "x" * 30000)
    run(port, find("nginx"), "-p", stage.directory, "-e", stage.path("error.log"), "-c", stage.write("nginx.conf", NGINX.format(
        dir=stage.directory, port=port, cert=pair.cert, key=pair.key, user="user root;" if os.getuid() == 0 else "")))
    return stage.path("access.log")


def node(stage, run, port):
    pair = certificates().local
    run(port, find("node"), stage.write("server.js", NODE), str(port), pair.cert, pair.key, stage.path("seen"))
    return stage.path("seen")


@pytest.mark.parametrize("server", [nginx, node], ids=lambda server: server.__name__)
def test_no_error_and_nothing_twice(stage, run, server):
    """9.5: An origin that sends GOAWAY every N requests (here nginx, keepalive_requests 5) costs no error, for any method."""
    port = stage.ports.take()
    log = server(stage, run, port)
    carpool = stage.carpool(secure(allowH2=True))
    wrong = []

    def ask(name):
        for number in range(REQUESTS):
            post = number % 2 == 1
            url = f"http://127.0.0.1:{port}/file?{name}-{number}"
            response = carpool.get(url, method="POST" if post else "GET", body=b"b" * 10000 if post else b"")
            if (response.status, response.body) != (200, b"posted" if post else b"x" * 30000):
                wrong.append((url, response.status, response.body[:200]))
    clients = [threading.Thread(target=ask, args=(each,)) for each in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not wrong

    def seen():
        with open(log, encoding="ascii") as file:
            return [line.split()[1:3] for line in file if line.split()[-1] == "HTTP/2.0"]
    wait_until(lambda: len(seen()) >= 4 * REQUESTS, lambda: f"all are logged (now {len(seen())})")
    assert len(seen()) == len({tuple(each) for each in seen()}) == 4 * REQUESTS
    row = carpool.row(f"https://127.0.0.1:{port}", "api")
    assert row["protocol"] == "h2" and row["errors"] == {}
    if server is nginx:
        assert row["retiredTotal"].get("goaway", 0) >= 4 * REQUESTS // 5 - 4
    connect(("127.0.0.1", port)).close()    # it still runs
