"""A real nginx as the origin: for bodies, which it sends as services do (sendfile), and for TLS."""

import os
import socket
import subprocess
import textwrap
import time

from peers import cpu_ns

PERIOD, SHADES, FIRST = 251, 75, ord("0")  # as pattern_init() of load_pattern.c
FILES = {"1k": 1024, "64k": 65536, "1m": 1 << 20, "10m": 10 << 20, "100m": 100 << 20}


def pattern(size):
    period = bytes(FIRST + i % SHADES for i in range(PERIOD))
    return (period * (size // PERIOD + 1))[:size]


def ask(port, target, host="127.0.0.1"):
    """A whole answer to one request, as it came."""
    with socket.create_connection((host, port), timeout=5) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: s.recv(1 << 16), b""))


def make_certificates(folder):
    """An authority, a certificate of it for localhost and 127.0.0.1, and the same with its key for who ends TLS."""
    f = folder
    with open(f"{f}/names", "w", encoding="ascii") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for command in (
            f"{new} -x509 -days 30 -subj /CN=bench-ca -keyout {f}/ca.key -out {f}/ca.pem",
            f"{new} -subj /CN=localhost -keyout {f}/key.pem -out {f}/csr.pem",
            f"openssl x509 -req -days 30 -in {f}/csr.pem -CA {f}/ca.pem -CAkey {f}/ca.key -CAcreateserial -extfile {f}/names "
            f"-out {f}/cert.pem"):
        subprocess.run(command.split(), check=True, capture_output=True)
    with open(f"{f}/front.pem", "w", encoding="ascii") as front:
        for name in ("cert.pem", "key.pem"):
            with open(f"{f}/{name}", encoding="ascii") as part:
                front.write(part.read())
    os.chmod(f"{f}/front.pem", 0o644)


def make_carpool_ca(build, folder):
    subprocess.run([os.path.join(build, "carpoolctl"), "ca", "create", "--for", "localhost", "--out", folder], check=True,
                   capture_output=True)
    return folder


class NginxOrigin:
    """One worker: a plain port, a TLS port that speaks HTTP/2 to who asks for it, one more of those that ends each connection after
    10 requests, and one for its own counts."""

    def __init__(self, folder, program, first):
        self.folder, self.program = folder, program
        self.plain, self.tls, self.goaway, self.status = range(first, first + 4)
        self.process = None

    def start(self):
        os.makedirs(f"{self.folder}/files", exist_ok=True)
        os.chmod(self.folder, 0o755)
        make_certificates(self.folder)
        for name, size in FILES.items():
            with open(f"{self.folder}/files/{name}", "wb") as f:
                f.write(pattern(size))
        with open(f"{self.folder}/nginx.conf", "w", encoding="ascii") as f:
            f.write(textwrap.dedent(f"""\
                daemon off;
                master_process off;
                error_log {self.folder}/error.log crit;
                pid {self.folder}/nginx.pid;
                worker_rlimit_nofile 20000;
                events {{ worker_connections 10000; multi_accept on; }}
                http {{
                    access_log off;
                    default_type application/octet-stream;
                    sendfile on;
                    tcp_nopush on;
                    keepalive_requests 1000000000;
                    keepalive_timeout 600s;
                    open_file_cache max=100;
                    open_file_cache_valid 600s;
                    client_body_temp_path {self.folder}/body;
                    proxy_temp_path {self.folder}/proxy;
                    fastcgi_temp_path {self.folder}/fastcgi;
                    uwsgi_temp_path {self.folder}/uwsgi;
                    scgi_temp_path {self.folder}/scgi;
                    ssl_certificate {self.folder}/cert.pem;
                    ssl_certificate_key {self.folder}/key.pem;
                    ssl_session_cache shared:s:1m;
                    root {self.folder}/files;
                    server {{
                        listen 127.0.0.1:{self.plain} backlog=4096;
                        listen 127.0.0.1:{self.tls} ssl http2 backlog=4096;
                    }}
                    server {{
                        listen 127.0.0.1:{self.goaway} ssl http2 backlog=4096;
                        keepalive_requests 10;
                        # Any method gets the file, once its body is read: that is what the mirror wants it for.
                        location / {{ mirror /read; error_page 405 =200 $uri; }}
                        location = /read {{ internal; return 204; }}
                    }}
                    server {{
                        listen 127.0.0.1:{self.status};
                        keepalive_timeout 0;
                        location / {{ stub_status; }}
                    }}
                }}
                """))
        with open(f"{self.folder}/output", "ab") as output:
            self.process = subprocess.Popen(
                [self.program, "-p", self.folder, "-c", f"{self.folder}/nginx.conf"], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True)
        end = time.monotonic() + 10
        while True:
            try:
                return self.accepted()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(f"{self.folder}/output", errors="replace") as f:
                        raise SystemExit(f"bench: the nginx origin does not start: {f.read()[-400:].strip()}") from None
                time.sleep(0.05)

    def counts(self):
        """Connections accepted and requests begun so far, those of asking for it not among them."""
        self.asked = getattr(self, "asked", 0) + 1
        accepted, _, requests = ask(self.status, "/").split(b"requests\n")[1].split()[:3]
        return int(accepted) - self.asked, int(requests) - self.asked

    def accepted(self):
        return self.counts()[0]

    def answer_size(self, file):
        """Head and body as nginx sends them to a client that keeps its connection."""
        with socket.create_connection(("127.0.0.1", self.plain), timeout=5) as s:
            s.sendall(f"GET /{file} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += s.recv(4096)
        return answer.index(b"\r\n\r\n") + 4 + FILES[file]

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None
