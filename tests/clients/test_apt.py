"""apt-get update and download from a repository made here; apt pipelines, and no path of the system is touched."""
import pytest

from .conftest import need

CONTROL = """Package: {name}
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.com>
Description: for a test of Carpool
"""
PACKAGES = [f"carpool-test-{number}" for number in range(5)]


@pytest.fixture
def repository(site, blob):
    """Five packages with some hundred kilobytes each, behind nginx."""
    for program in ("dpkg-deb", "apt-ftparchive", "apt-get"):
        need(program)
    for number, name in enumerate(PACKAGES):
        tree = site.directory / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(CONTROL.format(name=name))
        (tree / "content").write_bytes(blob[number << 18:(number + 1) << 18])
        site.run("dpkg-deb", "--root-owner-group", "-b", tree, site.origin.root / f"{name}.deb")
    site.origin.write("Packages", site.run("apt-ftparchive", "packages", ".", cwd=site.origin.root))
    site.origin.write("Release", site.run("apt-ftparchive", "release", ".", cwd=site.origin.root))


@pytest.fixture
def apt(site, repository):
    root = site.directory / "apt"
    for name in ("lists/partial", "cache/archives/partial", "etc", "download"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    (root / "sources.list").write_text(f"deb [trusted=yes] {site.origin.url('/')} ./\n")
    settings = {"Dir::Etc": root / "etc", "Dir::Etc::sourcelist": root / "sources.list", "Dir::Etc::sourceparts": "-",
                "Dir::State": root, "Dir::State::lists": root / "lists", "Dir::State::status": root / "status",
                "Dir::Cache": root / "cache", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
                "Acquire::Retries": "0"}
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    # The machine's own apt.conf.d may name another proxy or another way of fetching.
    empty = site.directory / "apt.conf"
    empty.write_text(f'Dir::Etc::parts "-";\nDir::Etc::main "-";\nAcquire::http::Proxy "{site.proxy}";\n')
    return lambda *args: site.run("apt-get", *options, *args, cwd=root / "download", env={"APT_CONFIG": str(empty)})


@pytest.fixture
def started(site):
    return site.start(maxSockets=1)


def test_update_and_download(started, site, apt):
    apt("update")
    names = [request["uri"] for request in site.origin.seen(2)]
    assert any(name.endswith("/Release") for name in names) and any("Packages" in name for name in names)
    assert site.origin.connections() == 1

    apt("download", *PACKAGES)
    for name in PACKAGES:
        (got,) = (site.directory / "apt/download").glob(f"{name}_*.deb")
        assert got.read_bytes() == (site.origin.root / f"{name}.deb").read_bytes()
    assert site.origin.connections(7) == 1


def test_second_update_fetches_nothing_anew(started, site, apt):
    apt("update")
    before = len(site.origin.seen(2))
    apt("update")
    assert 304 in [request["status"] for request in site.origin.seen(before + 1)[before:]]
    assert site.origin.connections() == 1
