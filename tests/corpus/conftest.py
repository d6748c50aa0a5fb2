"""One daemon a worker process serves all cases; after the last one its descriptors must have come back."""
import pytest

from .carpoold import Carpoold, program, wait_until
from .conversation import get
from .judge import SPARE_HOST
from .origin import CLEAN_PATH, Origin

NAME = "carpool-under-attack"
CONFIG = f"""
name: {NAME}
access:
  denyAddresses: [169.254.0.0/16, "fe80::/10", 0.0.0.0/8, "::/128", 224.0.0.0/4, "ff00::/8", 255.255.255.255/32,
                  127.0.0.9/32]
defaults:
  timeouts: {{free: 3s, socket: 20s}}
upstreams:
  spares:
    match: {SPARE_HOST}
    minFreeSockets: 2
"""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    if not program():
        pytest.skip("CARPOOLD does not say which carpoold to test")
    carpoold = Carpoold(tmp_path_factory.mktemp("carpoold"), CONFIG)
    carpoold.name = NAME
    carpoold.start()
    with Origin() as origin:
        get(carpoold.port, origin.url(CLEAN_PATH))
    wait_until(lambda: carpoold.descriptors() <= 0, 0.2)
    before = carpoold.descriptors()
    yield carpoold
    # Closed origins empty the pool; the spares' upstream goes on trying, with one socket at a time each.
    settled = wait_until(lambda: carpoold.descriptors() <= before + 2, 30)
    left = carpoold.descriptors() - before
    trouble = carpoold.complaints() or carpoold.stop()
    assert not trouble, trouble
    assert settled, f"{left} descriptors more than before the first case"
