"""The name constraints of a CA that carpoolctl made, as OpenSSL, GnuTLS, NSS and Go see them: whoever steals its key can
stand for nobody else; and as Java does not see them, which SECURITY.md says."""
import os
import pathlib
import subprocess

import pytest

from behaviour.harness.daemon import binary

from .conftest import need

# What somebody who has the key would sign; and for which CA that is good.
LEAVES = {"pay": ("DNS:pay.test", ("names", "both")), "below": ("DNS:a.pay.test", ("names", "both")),
          "other": ("DNS:other.test", ()), "beside": ("DNS:xpay.test", ()), "ip4": ("IP:10.0.0.7", ("addresses", "both")),
          "next4": ("IP:10.0.0.8", ()), "ip6": ("IP:fd00::7", ("both",)), "next6": ("IP:fd00::8", ())}
HOSTS = {"names": ["pay.test"], "addresses": ["10.0.0.7"], "both": ["*.pay.test", "10.0.0.7", "fd00::7"]}
GO = """package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

func load(path string) *x509.Certificate {
	text, _ := os.ReadFile(path)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	return certificate
}

func main() {
	roots := x509.NewCertPool()
	roots.AddCert(load(os.Args[1]))
	if _, err := load(os.Args[2]).Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		os.Exit(3)
	}
}
"""
JAVA = """import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

class Verify {
    static X509Certificate load(String path) throws Exception {
        try (var file = new FileInputStream(path)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
        }
    }

    static X509TrustManager trusting(X509Certificate root) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        store.setCertificateEntry("carpool", root);
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509TrustManager) factory.getTrustManagers()[0];
    }

    public static void main(String[] args) throws Exception {
        var manager = trusting(load(args[0]));
        for (int i = 1; i < args.length; i++) {
            try {
                manager.checkServerTrusted(new X509Certificate[] {load(args[i])}, "ECDHE_ECDSA");
                System.out.println("good");
            } catch (CertificateException e) {
                System.out.println(e);
            }
        }
    }
}
"""


def run(*words, folder, good=True, env=None):
    done = subprocess.run([need(words[0]), *map(str, words[1:])], cwd=folder, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=180, env={**os.environ, **(env or {})})
    assert done.returncode == 0 or not good, (words, done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A folder with a CA for each row of HOSTS, and for each of them all LEAVES, signed with its key."""
    folder = tmp_path_factory.mktemp("constraints")
    for ca, hosts in HOSTS.items():
        subprocess.run([binary("CARPOOLCTL"), "ca", "create", *(word for host in hosts for word in ("--for", host)), "--out", ca],
                       cwd=folder, check=True, capture_output=True)
        for name, (san, _) in LEAVES.items():
            base = f"{ca}-{name}"
            (folder / f"{base}.ext").write_text(f"subjectAltName={san}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
                                                "keyUsage=digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
            run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=thief",
                "-keyout", f"{base}.key", "-out", f"{base}.csr", folder=folder)
            run("openssl", "x509", "-req", "-in", f"{base}.csr", "-CA", f"{ca}/ca.pem", "-CAkey", f"{ca}/ca-key.pem",
                "-CAcreateserial", "-days", "5", "-extfile", f"{base}.ext", "-out", f"{base}.pem", folder=folder)
    return folder


def openssl(folder, ca, leaf):
    return run("openssl", "verify", "-x509_strict", "-CAfile", ca, leaf, folder=folder, good=False).returncode == 0


def gnutls(folder, ca, leaf):
    return run("certtool", "--verify", "--load-ca-certificate", ca, "--infile", leaf, folder=folder, good=False).returncode == 0


def nss(folder, ca, leaf):
    store = pathlib.Path(folder) / f"nss-{leaf}"
    store.mkdir()
    run("certutil", "-N", "-d", store, "--empty-password", folder=folder)
    run("certutil", "-A", "-d", store, "-n", "ca", "-t", "C,,", "-i", ca, folder=folder)
    run("certutil", "-A", "-d", store, "-n", "leaf", "-t", ",,", "-i", leaf, folder=folder)
    return run("certutil", "-V", "-d", store, "-n", "leaf", "-u", "V", folder=folder, good=False).returncode == 0


def go(folder, ca, leaf):
    program = pathlib.Path(folder) / "verify"
    env = {"GO111MODULE": "off", "GOCACHE": str(pathlib.Path(folder) / "go-cache")}
    if not program.exists():
        (pathlib.Path(folder) / "verify.go").write_text(GO)
        run("go", "build", "-o", program, "verify.go", folder=folder, env=env)
    done = run(str(program), ca, leaf, folder=folder, good=False)
    assert done.returncode in (0, 3), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("ca", HOSTS)
@pytest.mark.parametrize("verify", [openssl, gnutls, nss, go])
def test_only_what_is_permitted(signed, verify, ca):
    seen = {name: verify(signed, f"{ca}/ca.pem", f"{ca}-{name}.pem") for name in LEAVES}
    assert seen == {name: ca in good for name, (_, good) in LEAVES.items()}


def test_java_asks_none_of_what_it_trusts(signed):
    """SECURITY.md says so; this fails with a Java that does, so that it can say something else"""
    (pathlib.Path(signed) / "Verify.java").write_text(JAVA)
    done = run("java", "Verify.java", "both/ca.pem", *(f"both-{name}.pem" for name in LEAVES), folder=signed)
    assert done.stdout.split("\n") == ["good"] * len(LEAVES) + [""], done.stdout
