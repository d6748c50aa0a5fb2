"""A real nginx as the origin: for bodies, which it sends as services do (sendfile), and for TLS."""

import os
import socket
import subprocess
import textwrap
import time

from peers import cpu_ns

PERIOD, SHADES, FIRST = 251, 75, ord("0")  # as pattern_init() of load_message.c
FILES = {"1k": 1024, "64k": 65536, "1m": 1 << 20, "10m": 10 << 20}


def pattern(size):
    period = bytes(FIRST + i % SHADES for i in range(PERIOD))
    return (period * (size // PERIOD + 1))[:size]


def ask(port, target, host="127.0.0.1"):
    """A whole answer to one request, as it came."""
    with socket.create_connection((host, port), timeout=5) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: s.recv(1 << 16), b""))


class NginxOrigin:
    """One worker on the load generator's core: a plain port, a TLS port, and one for its own count of connections."""

    def __init__(self, folder, program, ports, cores):
        self.folder, self.program, self.cores = folder, program, cores
        self.plain, self.tls, self.status = ports
        self.ca = os.path.join(folder, "ca.pem")
        self.process = None

    def make_certificate(self):
        """Its own authority, and one certificate for localhost and 127.0.0.1."""
        f = self.folder
        with open(f"{f}/names", "w", encoding="ascii") as names:
            names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        for command in (
                f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=bench-ca -keyout {f}/ca.key -out {f}/ca.pem",
                f"openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {f}/key.pem -out {f}/csr.pem",
                f"openssl x509 -req -days 30 -in {f}/csr.pem -CA {f}/ca.pem -CAkey {f}/ca.key -CAcreateserial -extfile {f}/names "
                f"-out {f}/cert.pem"):
            subprocess.run(command.split(), check=True, capture_output=True)

    def start(self):
        os.makedirs(f"{self.folder}/files", exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.make_certificate()
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
                    server {{
                        listen 127.0.0.1:{self.plain} backlog=4096;
                        listen 127.0.0.1:{self.tls} ssl backlog=4096;
                        ssl_certificate {self.folder}/cert.pem;
                        ssl_certificate_key {self.folder}/key.pem;
                        ssl_session_cache shared:s:1m;
                        root {self.folder}/files;
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
                ["taskset", "-c", self.cores, self.program, "-p", self.folder, "-c", f"{self.folder}/nginx.conf"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        end = time.monotonic() + 10
        while True:
            try:
                return self.accepted()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(f"{self.folder}/output", errors="replace") as f:
                        raise SystemExit(f"bench: the nginx origin does not start: {f.read()[-400:].strip()}") from None
                time.sleep(0.05)

    def accepted(self):
        """Connections accepted so far, those of asking for it not among them."""
        self.asked = getattr(self, "asked", 0) + 1
        return int(ask(self.status, "/").split(b"requests\n")[1].split()[0]) - self.asked

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
