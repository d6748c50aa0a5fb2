"""A real nginx as the origin: a child with a configuration and files of its own, which tells what it saw."""
import json
import os
import pwd
import shutil
import subprocess

from behaviour.harness.waiting import PATIENCE, wait_until

CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format seen escape=json '{{"connection":"$connection","method":"$request_method","uri":"$request_uri",'
        '"host":"$http_host","via":"$http_via","status":$status,"length":"$content_length","body":"$request_body",'
        '"proxyConnection":"$http_proxy_connection","protocol":"$server_protocol"}}';
    access_log {dir}/access.log seen;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    client_body_buffer_size 1m; client_max_body_size 64m; large_client_header_buffers 8 64k;
    underscores_in_headers on; ignore_invalid_headers off; merge_slashes off;
    gzip on; gzip_types text/plain;
    keepalive_timeout 60s; keepalive_requests 100000;
    types {{ text/html html; text/plain txt; }}
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=512;
        root {dir}/www;
        location / {{ }}
        location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
        # nginx reads a request's body when it has somebody to give it to
        location {post} {{ proxy_pass http://127.0.0.1:{inner}; proxy_http_version 1.1; }}
    }}
    server {{
        listen 127.0.0.1:{inner};
        access_log off;
        location / {{ return 200 "got $content_length$http_transfer_encoding"; }}
    }}
}}
"""


def program():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Nginx:
    def __init__(self, directory, ports, only_posts=False):
        """`directory` is a Path that becomes nginx's own; `only_posts`: whatever comes is taken with its body."""
        self.directory, self.port = directory, ports.take()
        self.root = directory / "www"
        self.root.mkdir(parents=True)
        me = pwd.getpwuid(os.getuid()).pw_name
        text = CONFIG.format(dir=directory, port=self.port, inner=ports.take(), post="~ ^" if only_posts else "/post",
                             user=f"user {me};" if os.getuid() == 0 else "")
        (directory / "nginx.conf").write_text(text)
        with open(directory / "stderr", "wb") as log:
            self.process = subprocess.Popen(
                [program(), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.runs, lambda: f"nginx runs: {self.complaints()}")

    def runs(self):
        assert self.process.poll() is None, self.complaints()
        return (self.directory / "nginx.pid").exists()

    def complaints(self):
        return "".join(path.read_text(errors="replace") for path in (self.directory / "stderr", self.directory / "error.log")
                       if path.exists())

    def url(self, path=""):
        return f"http://127.0.0.1:{self.port}{path}"

    def write(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return content

    def seen(self, count=0):
        """One dict a request, in the order of their ends; waits for `count` of them."""
        path = self.directory / "access.log"

        def read():     # the last line may be half there
            text = path.read_text() if path.exists() else ""
            return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        if count:
            wait_until(lambda: len(read()) >= count, lambda: f"nginx saw {count} requests, not {len(read())}")
        return read()

    def connections(self, count=0):
        """How many upstream connections carried at least one of (at least `count`) requests."""
        return len({request["connection"] for request in self.seen(count)})

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
