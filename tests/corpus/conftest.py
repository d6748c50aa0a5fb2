"""One daemon a worker process serves all cases; after the last one its descriptors must have come back."""
import os

import pytest

from behaviour.harness.daemon import Daemon
from behaviour.harness.evidence import put_down, reports
from behaviour.harness.ports import Ports
from behaviour.harness.waiting import soon

from .conversation import get
from .judge import SPARE_HOST, VIA
from .origin import CLEAN_PATH, CaseOrigin

GROWTH = 32 << 20       # bytes of memory that caches and the allocator may keep
DENIED = ["169.254.0.0/16", "fe80::/10", "0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32",
          "127.0.0.9/32"]
CONFIG = {
    "name": VIA,
    "access": {"denyAddresses": DENIED},
    "defaults": {"timeouts": {"free": "20s", "socket": "60s"}},
    "upstreams": {"spares": {"match": SPARE_HOST, "minFreeSockets": 2}},
}


class Target(Daemon):
    seen = 0        # how much of stderr was looked at

    def complaints(self):
        """What no case may leave behind: a death, a sanitizer's report."""
        with open(os.path.join(self.directory, "stderr"), encoding="utf-8", errors="replace") as file:
            file.seek(self.seen)
            text = file.read()
            self.seen = file.tell()
        if not self.running:
            return f"carpoold ended with {self.process.returncode}: {text[-3000:]}"
        return text[-3000:] if reports(text) else ""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    target = Target(CONFIG, Ports(), str(tmp_path_factory.mktemp("carpoold")))
    with CaseOrigin() as origin:
        get(target.port, origin.url(CLEAN_PATH))
    soon(lambda: False, 0.1)
    before, resident = target.descriptors(), target.resident()
    yield target
    # Origins that are gone empty the pool; the upstream with spares may be trying one connection each.
    settled = soon(lambda: target.descriptors() <= before + 2, 60)
    left = target.descriptors() - before
    grown = 0 if target.sanitized else target.resident() - resident
    if grown >= GROWTH or not settled:
        put_down(f"{grown} bytes of memory and {left} descriptors more than before the first case of the corpus")
    target.finish()
    assert grown < GROWTH, f"{grown} bytes of memory more than before the first case"
    assert settled, f"{left} descriptors more than before the first case"
