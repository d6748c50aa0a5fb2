"""git clone and fetch over plain http, from files that nginx serves."""
import pytest

from .conftest import need

QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a",
         "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@a"}


@pytest.fixture
def git(site):
    need("git")
    return lambda *args, **how: site.run("git", *args, env=QUIET, **how)


def commit(site, git, name, content):
    (site.directory / "work" / name).write_bytes(content)
    git("-C", "work", "add", name)
    git("-C", "work", "commit", "-q", "-m", name)


def publish(site, git):
    bare = site.origin.root / "project.git"
    git("-C", "work", "push", "-q", str(bare), "HEAD:refs/heads/main")
    git("-C", str(bare), "update-server-info")


def test_clone_and_fetch(site, git, blob):
    site.start(maxSockets=2)
    git("init", "-q", "-b", "main", "work")
    git("init", "-q", "--bare", "-b", "main", str(site.origin.root / "project.git"))
    for number in range(5):
        commit(site, git, f"{number}.txt", b"%d\n" % number)
    commit(site, git, "blob", blob)
    publish(site, git)

    git("clone", "-q", site.origin.url("/project.git"), "copy")
    assert (site.directory / "copy/blob").read_bytes() == blob
    assert (site.directory / "copy/3.txt").read_bytes() == b"3\n"

    commit(site, git, "later.txt", b"later\n")
    publish(site, git)
    git("-C", "copy", "pull", "-q", "--ff-only")
    assert (site.directory / "copy/later.txt").read_bytes() == b"later\n"
    assert len(site.origin.seen(5)) > site.origin.connections()
    assert 1 <= site.origin.connections() <= 2
