"""wget: keeps its connections to a proxy, and follows links."""


def test_one_shots(site):
    site.start()
    body = site.origin.write("a.txt", b"some text\n")
    for _ in range(5):
        assert site.run("wget", "-q", "-O", "-", site.origin.url("/a.txt")) == body
    assert site.origin.connections(5) == 1


def test_post(site):
    site.start()
    assert site.run("wget", "-q", "-O", "-", "--post-data", "a=b", site.origin.url("/post")) == b"got 3"
    assert site.origin.seen(1)[0]["body"] == "a=b"


def test_recursive_download(site, blob):
    site.start()
    names = [f"page{number}.html" for number in range(8)]
    links = "".join(f'<a href="{name}">{name}</a>' for name in [*names, "blob"])
    site.origin.write("index.html", links.encode())
    for name in names:
        site.origin.write(name, f"<p>{name}</p>".encode())
    site.origin.write("blob", blob)
    site.run("wget", "-q", "-r", "-nH", "-e", "robots=off", "-P", "copy", site.origin.url("/index.html"))
    for name in ["index.html", "blob", *names]:
        assert (site.directory / "copy" / name).read_bytes() == (site.origin.root / name).read_bytes()
    assert site.origin.connections(10) == 1


def test_broken_download_is_resumed(site, blob):
    site.start()
    site.origin.write("blob", blob)
    (site.directory / "blob").write_bytes(blob[:123456])
    site.run("wget", "-q", "-c", site.origin.url("/blob"))
    assert (site.directory / "blob").read_bytes() == blob
    assert [request["status"] for request in site.origin.seen(1)] == [206]
