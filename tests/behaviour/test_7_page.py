"""Section 7: the live page in a real browser, where there is one."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(not CHROMIUM, reason="chromium is missing")
def test_the_page_shows_the_pools(stage):
    """`GET /` the live page: its own policy lets its script run, and names are text, not markup"""
    origin = stage.origin(manual=True)
    carpool = stage.carpool({"upstreams": {"<b id=x>api": {"match": "api.test", "address": [origin.authority],
                                                           "maxSockets": 1, "timeouts": {
                                                               "pending": "off", "socket": "off"}}}})
    clients = [carpool.ask("http://api.test/") for _ in range(3)]
    asked = origin.take()
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
                           f"--user-data-dir={stage.path('browser')}", "--virtual-time-budget=4000",
                           f"http://127.0.0.1:{carpool.admin_port}/"],
                          capture_output=True, text=True, timeout=180, check=False, env={"HOME": stage.directory})
    asked.connection.reply()
    for _ in clients[1:]:
        origin.take().connection.reply()
    assert [client.response().status for client in clients] == [200] * 3
    assert "<h2>&lt;b id=x&gt;api</h2>" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
    assert "<td>http://api.test:80</td>" in done.stdout.replace(' class=""', "")
    assert '<td class="hot">2</td>' in done.stdout
    assert done.stdout.count("<svg") >= 8 and "Content Security Policy" not in done.stderr
