"""The `stage` of the behaviour tests, and the `ordinary` client whose latency every attack is held against."""
import resource

import pytest

from behaviour.conftest import Stage, ports, programs, stage  # noqa: F401  (fixtures)

from .ordinary import Ordinary


@pytest.fixture(scope="session", autouse=True)
def descriptors():
    """As many as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def ordinary(stage):  # noqa: F811
    """ordinary(carpool): the ordinary client of this daemon, and of one that nobody attacks."""
    running = []

    def start(carpool):
        running.append(Ordinary(carpool, stage.carpool()))
        return running[-1]
    yield start
    for each in running:
        each.close()
