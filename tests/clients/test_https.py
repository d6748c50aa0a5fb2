"""doc/clients.md, "https without changing the app": each client asks for https:// through CONNECT, trusts Carpool's CA in the way
that stands there, and shares one connection to the service with the others."""
import os
import subprocess

import pytest

from behaviour.conftest import Stage
from behaviour.harness.daemon import binary, environment
from behaviour.test_10_tls import TARGET, Setting

from .conftest import PATIENCE, need
from .test_recipes import need_npm, npm_folder

URL = f"https://{TARGET}/"
JAVA = """import java.net.*;
import java.net.http.*;

class Get {
    public static void main(String[] args) throws Exception {
        var client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
        var request = HttpRequest.newBuilder(URI.create(args[0])).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
"""
GO = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println(response.StatusCode)
}
"""
NODE = """const http = require('http'), https = require('https');
const [proxy, url] = [new URL(process.env.https_proxy), new URL(process.argv[2])];
http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.host }).on('connect', (_, socket) => {
  https.get(url, { socket, agent: false }, (response) => {
    console.log(response.statusCode);
    response.resume().on('end', () => socket.end());
  });
}).end();
"""
PHP_CURL = f"$c = curl_init('{URL}'); curl_setopt($c, CURLOPT_RETURNTRANSFER, 1); curl_exec($c); echo curl_getinfo($c, CURLINFO_HTTP_CODE);"
PHP_STREAM = ("$x = stream_context_create(['http' => ['proxy' => str_replace('http:', 'tcp:', getenv('https_proxy'))]]);"
              f"file_get_contents('{URL}', false, $x); echo $http_response_header[0];")
UNDICI = ("const { ProxyAgent, fetch } = require('undici'); const dispatcher = new ProxyAgent(process.env.https_proxy);"
          f"fetch('{URL}', {{ dispatcher }}).then(async (response) => {{ console.log(response.status, await response.text());"
          " await dispatcher.close(); });")
PERL = f"print LWP::UserAgent->new(env_proxy => 1)->get('{URL}')->status_line"

# Under `carpoolctl run`: the words of a command; {CA} and {FOLDER} are filled in.
CLIENTS = {
    "curl": ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", URL],
    "curl POST": ["curl", "-sS", "-o", "/dev/null", "-d", "x", "-w", "%{http_code}", URL],
    "wget": ["wget", "-S", "-O", "/dev/null", "--ca-certificate={CA}", URL],
    "aria2": ["aria2c", "--console-log-level=info", "--dir={FOLDER}", "--out=out", "--ca-certificate={CA}", URL],
    "git": ["env", "GIT_CURL_VERBOSE=1", "git", "ls-remote", URL],
    "python urllib": ["python3", "-c", f"import urllib.request as u; print(u.urlopen('{URL}').status)"],
    "python requests": ["python3", "-c", f"import requests; print(requests.get('{URL}').status_code)"],
    "php streams": ["php", "-r", PHP_STREAM],
    "php curl": ["sh", "-c", 'exec php -d curl.cainfo="$SSL_CERT_FILE" -r "$1"', "sh", PHP_CURL],
    "perl": ["env", "PERL_LWP_SSL_CA_FILE={CA}", "perl", "-MLWP::UserAgent", "-e", PERL],
    "ruby": ["ruby", "-rnet/http", "-e", f"puts Net::HTTP.get_response(URI('{URL}')).code"],
    "go": ["go", "run", "{FOLDER}/get.go", URL],
    "java": ["sh", "-c", 'set -e; cd "$1"; rm -f trust.p12; keytool -importcert -noprompt -alias carpool -file "$2" -keystore trust.p12 -storepass changeit;'
             'exec java -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort="${https_proxy##*:}" -Djavax.net.ssl.trustStore=trust.p12'
             ' -Djavax.net.ssl.trustStorePassword=changeit Get.java "$3"', "sh", "{FOLDER}", "{CA}", URL],
    "node https": ["node", "{FOLDER}/get.js", URL],
    "node24 fetch": ["{NPM}/node24/bin/node", "-e", f"fetch('{URL}').then((response) => console.log(response.status))"],
    "undici agent": ["node", "-e", UNDICI],
}
NEEDS = {"python requests": ["python3", "-c", "import requests"], "php curl": ["php", "-r", "exit(function_exists('curl_init') ? 0 : 1);"],
         "perl": ["perl", "-MLWP::Protocol::https", "-e", "1"]}


@pytest.fixture
def setting(tmp_path, ports):
    stage = Stage(ports, tmp_path)
    (tmp_path / "get.go").write_text(GO)
    (tmp_path / "Get.java").write_text(JAVA)
    (tmp_path / "get.js").write_text(NODE)
    yield Setting(stage)
    stage.finish()


def run(setting, words):
    folder = setting.stage.directory
    words = [word.replace("{CA}", setting.ca).replace("{FOLDER}", folder).replace("{NPM}", str(npm_folder())) for word in words]
    env = environment({"HOME": folder, "LC_ALL": "C", "no_proxy": None, "SSL_CERT_FILE": None, "GO111MODULE": "off",
                       "GOCACHE": os.path.join(folder, "go-cache"), "NODE_PATH": str(npm_folder())})
    return subprocess.run([binary("CARPOOLCTL"), "-s", f"127.0.0.1:{setting.carpool.admin_port}", "run", "--", *words], env=env,
                          cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("client", CLIENTS)
def test_client(setting, client):
    words = CLIENTS[client]
    if client.split()[0] in ("node24", "undici"):
        need_npm(client.split()[0])
    need({"{NPM}/node24/bin/node": "node", "env": words[2], "sh": client.split()[0]}.get(words[0], words[0]))
    if client in NEEDS and subprocess.run(NEEDS[client], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{client} has no module for it; ./quickstart check brings it")
    for count in (1, 2):
        done = run(setting, words)
        assert setting.handshakes("ok") >= count, (done.stdout, done.stderr)
        assert "200" in done.stdout + done.stderr, (done.stdout, done.stderr)
        setting.carpool.wait_row(f"https://{TARGET}", "p", sockets=0)
    assert (setting.handshakes("untrusted"), setting.origin.accepted, setting.origin.tls.full) == (0, 1, 1)
