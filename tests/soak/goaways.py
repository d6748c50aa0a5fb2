#!/usr/bin/env python3
"""Requests over HTTP/2 to an nginx that ends each connection after 10 of them: none fails, none is carried out twice. `make
soak-goaways SOAK_REQUESTS=1000000` runs it.

Every other one is a POST with content. nginx's access log says what was carried out."""
import argparse
import collections
import contextlib
import io
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from behaviour.harness.certificates import certificates     # noqa: E402  (the path above comes first)
from behaviour.harness.daemon import Daemon                 # noqa: E402
from behaviour.harness.ports import Ports                   # noqa: E402
from behaviour.harness.tls import secure                    # noqa: E402
from behaviour.harness.waiting import wait_until            # noqa: E402

NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; {user}
events {{ worker_connections 4096; }}
http {{
    log_format seen '$request_method $request_uri $status $server_protocol';
    access_log {dir}/access.log seen;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    keepalive_requests 10;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {cert}; ssl_certificate_key {key};
        location / {{ return 200 "$request_method $request_uri"; }}
    }}
}}
"""
BODY = b"b" * 3000


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--clients", type=int, default=16, help="processes that ask at a time")
    return parser.parse_args()


def start_nginx(folder, port):
    pair = certificates().local
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(NGINX.format(dir=folder, port=port, cert=pair.cert, key=pair.key, user="user root;" if os.getuid() == 0 else ""))
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        print("*** NOT RUN: nginx is missing", file=sys.stderr)
        sys.exit(0)
    process = subprocess.Popen([program, "-p", folder, "-e", os.path.join(folder, "error.log"), "-c", path])
    wait_until(lambda: listens(port) or process.poll() is not None, "nginx listens")
    return process


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


def read_response(client, got):
    """(status line, content, what follows)."""
    while b"\r\n\r\n" not in got:
        piece = client.recv(65536)
        if not piece:
            raise OSError(f"cut behind {got[-200:]!r}")
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(rest) < length:
        piece = client.recv(65536)
        if not piece:
            raise OSError(f"cut behind {got[-200:]!r}")
        rest += piece
    return head.split(b"\r\n")[0], rest[:length], rest[length:]


def ask(proxy, origin, numbers):
    """What was wrong. A new connection every few requests, as short-lived clients have."""
    wrong, client, got = [], None, b""
    for number in numbers:
        method = "POST" if number % 2 else "GET"
        body = BODY if number % 2 else b""
        head = f"{method} http://{origin}/{number} HTTP/1.1\r\nHost: {origin}\r\n"
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        try:
            if not client or number // 16 % 5 == 0:
                client, got = socket.create_connection(proxy, 60), b""
            client.sendall(head.encode() + b"\r\n" + body)
            line, content, got = read_response(client, got)
            if line[9:12] != b"200" or content != f"{method} /{number}".encode():
                wrong.append(f"{method} /{number}: {line!r} {content[:200]!r}")
        except OSError as error:
            wrong.append(f"{method} /{number}: {error}")
            client = None
    return wrong


def count(folder, expected):
    """How often each was carried out, once nginx has written all of it down."""
    seen = collections.Counter()
    with open(os.path.join(folder, "access.log"), encoding="ascii") as file:
        def read_on():
            seen.update(line.split()[1] for line in file)
            return sum(seen.values()) >= expected
        wait_until(read_on, lambda: f"all {expected} are in nginx's log (now {sum(seen.values())})")
    return seen


def run(chosen, folder):
    ports = Ports()
    port = ports.take()
    nginx = start_nginx(folder, port)
    config = secure(allowH2=True, maxSockets=chosen.clients)
    carpool = Daemon({**config, "log": {"level": "warn"}}, ports, folder)
    origin, began = f"127.0.0.1:{port}", time.monotonic()
    try:
        with multiprocessing.Pool(chosen.clients) as pool:
            shares = [range(first, chosen.requests, chosen.clients) for first in range(chosen.clients)]
            wrong = sum(pool.starmap(ask, [(("127.0.0.1", carpool.port), origin, share) for share in shares]), [])
        took = time.monotonic() - began
        row = carpool.row(f"https://{origin}", "api")
        seen = count(folder, chosen.requests - len(wrong))
        twice = [target for target, times in seen.items() if times > 1]
        print(f"{took:.0f} s, {chosen.requests} requests of {chosen.clients} clients, {row['socketsOpened']} connections, retired: "
              f"{row['retiredTotal']}, protocol {row['protocol']}: {len(wrong)} errors, {len(twice)} carried out twice")
        for problem in [*wrong[:20], *(f"{target} was carried out {seen[target]} times" for target in twice[:20])]:
            print("PROBLEM", problem)
        with contextlib.redirect_stdout(io.StringIO()):
            carpool.finish()
        return 1 if wrong or twice or row["protocol"] != "h2" else 0
    finally:
        carpool.kill()
        nginx.terminate()
        nginx.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="carpool-goaways-") as folder:
        return run(options(), folder)


if __name__ == "__main__":
    sys.exit(main())
