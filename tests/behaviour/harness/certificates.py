"""Certificates made by the openssl command, once a test run. Names and dates are what a test asks for."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
CA_CONFIG = """
[ca]
default_ca = it
[it]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
CA_EXTENSIONS = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]


def openssl(*args, cwd=None):
    done = subprocess.run(["openssl", *args], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=False, timeout=60)
    assert done.returncode == 0, f"openssl {args}: {done.stderr}"
    return done.stdout


class Pair:
    """A certificate with its chain, and its key: two files in PEM."""

    def __init__(self, cert, key):
        self.cert = cert
        self.key = key

    def text(self, which="cert"):
        with open(getattr(self, which), encoding="ascii") as file:
            return file.read()


class Authority:
    """One that signs. `parent` makes it an intermediate, whose leaves carry it in their chain."""

    def __init__(self, directory, name="Root of tests", parent=None):
        self.directory = tempfile.mkdtemp(dir=directory)
        self.parent = parent
        self.made = 0
        with open(self.path("ca.cnf"), "w", encoding="ascii") as file:
            file.write(CA_CONFIG)
        open(self.path("index.txt"), "w", encoding="ascii").close()
        with open(self.path("serial"), "w", encoding="ascii") as file:
            file.write("1000")
        if parent:
            pair = parent.sign(name, CA_EXTENSIONS)
            shutil.copy(pair.key, self.path("ca.key"))
            shutil.copy(pair.cert, self.path("ca.pem"))
        else:
            openssl("req", "-x509", *CURVE, "-subj", f"/CN={name}", "-keyout", "ca.key", "-out", "ca.pem", "-days",
                    "365", *(word for extension in CA_EXTENSIONS for word in ("-addext", extension)), cwd=self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def pem(self):
        """The file for `tls.ca`."""
        return self.path("ca.pem")

    def sign(self, name, extensions, start=None, end=None):
        self.made += 1
        base = f"{self.made}"
        extra = [word for extension in extensions for word in ("-addext", extension)]
        openssl("req", *CURVE, "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.csr", *extra,
                cwd=self.directory)
        dates = ["-startdate", start, "-enddate", end] if start else ["-days", "300"]
        openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext", *dates, "-in",
                f"{base}.csr", "-out", f"{base}.pem", cwd=self.directory)
        return Pair(self.path(f"{base}.pem"), self.path(f"{base}.key"))

    def leaf(self, *names, common_name="leaf of tests", start=None, end=None, with_chain=True):
        """A certificate for these names ("DNS:a.test", "IP:127.0.0.1"); none: for a client."""
        extensions = ["basicConstraints=CA:FALSE"]
        if names:
            extensions.append("subjectAltName=" + ",".join(names))
        pair = self.sign(common_name, extensions, start, end)
        if self.parent and with_chain:
            with open(pair.cert, "a", encoding="ascii") as out, open(self.pem, encoding="ascii") as own:
                out.write(own.read())
        return pair


class Certificates:
    """What the tests share. Each is made when it is first asked for."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="carpool-certificates-")
        atexit.register(shutil.rmtree, self.directory, True)

    @functools.cached_property
    def ca(self):
        return Authority(self.directory)

    @functools.cached_property
    def other_ca(self):
        return Authority(self.directory, "Stranger of tests")

    @functools.cached_property
    def intermediate(self):
        return Authority(self.directory, "Intermediate of tests", self.ca)

    @functools.cache
    def leaf(self, *names, **how):
        return self.ca.leaf(*names, **how)

    @functools.cached_property
    def local(self):
        """For the names and addresses that most tests use."""
        return self.leaf("DNS:localhost", "DNS:*.test", "DNS:api.test", "IP:127.0.0.1", "IP:::1")

    @functools.cached_property
    def expired(self):
        return self.leaf("IP:127.0.0.1", common_name="expired leaf", start="20200101000000Z", end="20210101000000Z")

    @functools.cached_property
    def not_yet_valid(self):
        return self.leaf("IP:127.0.0.1", common_name="early leaf", start="20900101000000Z", end="20910101000000Z")

    @functools.cached_property
    def self_signed(self):
        path = os.path.join(self.directory, "self-signed")
        openssl("req", "-x509", *CURVE, "-subj", "/CN=signs itself", "-keyout", path + ".key", "-out", path + ".pem",
                "-days", "30", "-addext", "subjectAltName=IP:127.0.0.1", cwd=self.directory)
        return Pair(path + ".pem", path + ".key")


@functools.cache
def certificates():
    return Certificates()
