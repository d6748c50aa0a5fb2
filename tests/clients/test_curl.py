"""curl: the client that most scripts are."""
import pytest


@pytest.fixture
def curl(site):
    site.start()
    return lambda *args, **how: site.run("curl", "-sS", "--fail", *args, **how)


def test_one_shot_gets_share_one_connection(site, curl):
    body = site.origin.write("a.txt", b"some text\n")
    for _ in range(20):
        assert curl(site.origin.url("/a.txt")) == body
    assert site.origin.connections(20) == 1


def test_one_shot_posts_share_one_connection(site, curl):
    for number in range(20):
        assert curl("-d", f"number={number}", site.origin.url("/post")) == b"got %d" % len(f"number={number}")
    seen = site.origin.seen(20)
    assert [request["body"] for request in seen] == [f"number={number}" for number in range(20)]
    assert site.origin.connections() == 1


def test_several_urls_over_one_client_connection(site, curl):
    bodies = [site.origin.write(f"{number}.txt", b"%d\n" % number) for number in range(10)]
    assert curl(*(site.origin.url(f"/{number}.txt") for number in range(10))) == b"".join(bodies)
    assert site.origin.connections(10) == 1


def test_the_origin_sees_a_request_made_for_it(site, curl):
    site.origin.write("a.txt", b"x")
    curl(site.origin.url("/a.txt?q=%20&r=/../s"))
    (request,) = site.origin.seen(1)
    assert request["uri"] == "/a.txt?q=%20&r=/../s"
    assert request["host"] == f"127.0.0.1:{site.origin.port}"
    assert request["proxyConnection"] == ""
    assert request["via"].startswith("1.1 carpool-")


def test_large_download(site, curl, blob):
    site.origin.write("blob", blob)
    assert curl(site.origin.url("/blob")) == blob
    assert curl("-r", "1000000-1999999", site.origin.url("/blob")) == blob[1000000:2000000]
    assert site.origin.connections(2) == 1


def test_head(site, curl):
    site.origin.write("blob", b"x" * 1000)
    assert b"Content-Length: 1000" in curl("-I", site.origin.url("/blob"))
    assert curl(site.origin.url("/blob")) == b"x" * 1000
    assert site.origin.connections(2) == 1


def test_upload_waits_for_100_continue(site, curl, blob):
    (site.directory / "blob").write_bytes(blob)
    curl("-T", "blob", "-H", "Expect: 100-continue", site.origin.url("/upload/blob"))
    assert (site.origin.root / "upload/blob").read_bytes() == blob
    assert curl(site.origin.url("/upload/blob")) == blob
    assert site.origin.connections(2) == 1


def test_chunked_upload(site, curl, blob):
    curl("-T", "-", "-H", "Expect:", site.origin.url("/upload/piped"), stdin=blob)
    assert (site.origin.root / "upload/piped").read_bytes() == blob
    assert site.origin.connections(1) == 1


def test_http_1_0(site, curl):
    body = site.origin.write("a.txt", b"old\n")
    for _ in range(3):
        assert curl("--http1.0", site.origin.url("/a.txt")) == body
    assert {request["protocol"] for request in site.origin.seen(3)} == {"HTTP/1.1"}
    assert site.origin.connections() == 1


def test_error_pages_keep_the_connection(site, curl):
    for _ in range(3):
        assert curl("--no-fail", "-o", "/dev/null", "-w", "%{http_code}", site.origin.url("/none")) == b"404"
    assert site.origin.connections(3) == 1


def test_conditional_request(site, curl):
    site.origin.write("a.txt", b"x")
    curl("--etag-save", "etag", "-o", "a.txt", site.origin.url("/a.txt"))
    code = curl("--etag-compare", "etag", "-o", "b.txt", "-w", "%{http_code}", site.origin.url("/a.txt"))
    assert code == b"304"
    assert site.origin.connections(2) == 1


def test_a_refusing_origin_is_explained(site, curl):
    refused = site.ports.refused()
    host, port = refused.getsockname()
    out = curl("--no-fail", "-i", f"http://{host}:{port}/")
    assert out.startswith(b"HTTP/1.1 502 ") and b"connection_refused" in out


def test_50_parallel_processes_share_5_connections(site):
    site.start(maxSockets=5)
    bodies = [site.origin.write(f"{number}", b"%d\n" % number * 5000) for number in range(50)]
    running = [site.begin("curl", "-sS", "--fail", site.origin.url(f"/{number}")) for number in range(50)]
    assert [site.end(process) for process in running] == bodies
    assert 1 <= site.origin.connections(50) <= 5


def test_50_parallel_posts_share_5_connections(site):
    site.start(maxSockets=5)
    running = [site.begin("curl", "-sS", "--fail", "-d", f"{number:04d}", site.origin.url("/post"))
               for number in range(50)]
    assert {site.end(process) for process in running} == {b"got 4"}
    assert sorted(request["body"] for request in site.origin.seen(50)) == [f"{number:04d}" for number in range(50)]
    assert 1 <= site.origin.connections() <= 5


def test_raw_utf8_and_a_fragment(site, curl):
    body = site.origin.write("\u00fc.txt", b"text")
    assert curl(site.origin.url("/\u00fc.txt?q=\u20ac#top")) == body
    assert site.origin.seen(1)[0]["uri"] == "/%C3%BC.txt?q=%E2%82%AC"
