"""nginx as an origin: what it does differently when it sees a proxy."""
import gzip

from behaviour.harness.waiting import wait_until

TEXT = b"the same words over and over\n" * 200


def transferred(site, *args):
    """What curl got over the wire for TEXT: bytes as they came."""
    site.origin.write("a.txt", TEXT)
    return site.run("curl", "-sS", "--fail", "-H", "Accept-Encoding: gzip", *args, site.origin.url("/a.txt"))


def test_compression_behind_via(site):
    """via: false: stock nginx does not compress behind one"""
    site.start(via=False)
    assert gzip.decompress(transferred(site)) == TEXT
    assert site.origin.seen(1)[0]["via"] == ""


def test_the_diagnosis_tells_why_nothing_is_compressed(site):
    """said [...] in the diagnosis where text responses without Content-Encoding come back to requests that accept gzip"""
    site.start()
    assert len(gzip.decompress(transferred(site, "--noproxy", "*"))) == len(TEXT)
    for _ in range(20):
        assert transferred(site) == TEXT
    (said,) = wait_until(lambda: site.carpool.agents()["default"]["diagnosis"], "a sentence")
    assert "gzip_proxied any" in said and "via: false" in said
