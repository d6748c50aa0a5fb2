"""Python's own urllib, and requests."""
import io
import urllib.error
import urllib.request

import pytest


@pytest.fixture
def opener(site):
    site.start()
    return urllib.request.build_opener(urllib.request.ProxyHandler({"http": site.proxy}))


def test_urllib_one_shots(site, opener):
    body = site.origin.write("a.txt", b"some text\n")
    for _ in range(20):
        assert opener.open(site.origin.url("/a.txt"), timeout=30).read() == body
    assert site.origin.connections(20) == 1


def test_urllib_post_put_and_error(site, opener, blob):
    assert opener.open(site.origin.url("/post"), b"abc", timeout=30).read() == b"got 3"
    put = urllib.request.Request(site.origin.url("/upload/blob"), io.BytesIO(blob), method="PUT",
                                 headers={"Content-Length": str(len(blob))})
    assert opener.open(put, timeout=30).status == 201
    assert (site.origin.root / "upload/blob").read_bytes() == blob
    with pytest.raises(urllib.error.HTTPError) as error:
        opener.open(site.origin.url("/none"), timeout=30)
    assert error.value.code == 404 and b"404" in error.value.read()
    assert site.origin.connections(3) == 1


@pytest.fixture
def requests(site):
    site.start()
    return pytest.importorskip("requests", reason="python3-requests is not installed; ./quickstart check brings it")


@pytest.fixture
def proxies(site):
    return {"http": site.proxy}


def test_requests_one_shots(site, requests, proxies):
    body = site.origin.write("a.txt", b"some text\n")
    for _ in range(20):
        assert requests.get(site.origin.url("/a.txt"), proxies=proxies, timeout=30).content == body
    assert site.origin.connections(20) == 1


def test_requests_session(site, requests, proxies, blob):
    site.origin.write("blob", blob)
    with requests.Session() as session:
        session.proxies = proxies
        assert session.get(site.origin.url("/blob"), timeout=30).content == blob
        assert session.post(site.origin.url("/post"), json={"a": 1}, timeout=30).text == "got 8"
        assert session.head(site.origin.url("/blob"), timeout=30).headers["Content-Length"] == str(len(blob))
        assert session.get(site.origin.url("/none"), timeout=30).status_code == 404
        assert session.get(site.origin.url("/blob"), timeout=30).content == blob
    assert site.origin.connections(5) == 1


def test_requests_generator_upload(site, requests, proxies):
    pieces = [b"%06d\n" % number for number in range(20000)]
    answer = requests.put(site.origin.url("/upload/pieces"), data=iter(pieces), proxies=proxies, timeout=30)
    assert answer.status_code == 201
    assert (site.origin.root / "upload/pieces").read_bytes() == b"".join(pieces)


def test_requests_streamed_download_left_early(site, requests, proxies, blob):
    site.origin.write("blob", blob)
    with requests.get(site.origin.url("/blob"), proxies=proxies, stream=True, timeout=30) as answer:
        assert next(answer.iter_content(1000)) == blob[:1000]
    # Its socket may be lost, the next request is not.
    assert requests.get(site.origin.url("/blob"), proxies=proxies, timeout=30).content == blob
    assert site.origin.connections(2) <= 2
