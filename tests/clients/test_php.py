"""PHP, by the recipes of doc/clients.md: its streams send a URL as it stands, which is no URI."""
import shutil

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("php"), reason="php is missing (Debian: php-cli)")

STREAM = """
$context = stream_context_create(['http' => ['proxy' => getenv('PROXY'), 'request_fulluri' => true]]);
for ($i = 0; $i < 3; $i++)
    echo file_get_contents($argv[1], false, $context);
"""


def tcp(site):
    return site.proxy.replace("http://", "tcp://")


@pytest.mark.parametrize("target, seen", [
    ("/a.txt", "/a.txt"), ("/a.txt#top", "/a.txt"), ("/a.txt?q=x#y?z", "/a.txt?q=x"),
    ("/\u00fc.txt", "/%C3%BC.txt"), ("/a.txt?q=\u20ac", "/a.txt?q=%E2%82%AC")])
def test_streams(site, target, seen):
    site.start()
    site.origin.write("a.txt", b"text")
    site.origin.write("\u00fc.txt", b"text")
    assert site.run("php", "-r", STREAM, site.origin.url(target), env={"PROXY": tcp(site)}) == b"text" * 3
    assert [request["uri"] for request in site.origin.seen(3)] == [seen] * 3
    assert site.origin.connections() == 1


def test_curl(site):
    site.start()
    site.origin.write("\u00fc.txt", b"text")
    script = """
        if (!function_exists('curl_init')) { echo 'no curl'; exit(0); }
        $c = curl_init($argv[1]); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); echo curl_exec($c);"""
    printed = site.run("php", "-r", script, site.origin.url("/\u00fc.txt#top"))
    if printed == b"no curl":
        pytest.skip("PHP's curl is missing (Debian: php-curl)")
    assert printed == b"text" and site.origin.seen(1)[0]["uri"] == "/%C3%BC.txt"
