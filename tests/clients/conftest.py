"""The `site` fixture: an nginx with files, a carpoold in front of it, and a clean environment for clients."""
import os
import shutil
import subprocess

import pytest

from behaviour.harness.daemon import Daemon, environment
from behaviour.harness.ports import Ports

from . import nginx

PATIENCE = 180


def need(program):
    path = shutil.which(program)
    if not path:
        pytest.skip(f"{program} is not installed; ./quickstart check brings it")
    return path


class Site:
    def __init__(self, directory, ports):
        self.directory = directory
        self.ports = ports
        self.origin = nginx.Nginx(directory / "nginx", ports)
        self.carpool = None

    def start(self, **defaults):
        """Starts carpoold with these in `defaults`."""
        home = self.directory / "carpoold"
        home.mkdir()
        self.carpool = Daemon({"defaults": defaults} if defaults else {}, self.ports, str(home))
        return self

    @property
    def proxy(self):
        return f"http://127.0.0.1:{self.carpool.port}"

    def environment(self, **more):
        env = environment({"HOME": str(self.directory), "LC_ALL": "C", "http_proxy": self.proxy, **more})
        return env

    def begin(self, program, *args, env=None, **how):
        how = {"stdin": subprocess.DEVNULL, "cwd": self.directory, **how}
        return subprocess.Popen([need(program), *map(str, args)], env=self.environment(**(env or {})),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)

    def end(self, process, stdin=None):
        """What it printed; it must have succeeded."""
        try:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        finally:
            process.kill()
        assert process.returncode == 0, f"{process.args}: {process.returncode}\n{out!r}\n{err.decode(errors='replace')}"
        return out

    def run(self, program, *args, stdin=None, **how):
        if stdin is not None:
            how["stdin"] = subprocess.PIPE
        return self.end(self.begin(program, *args, **how), stdin)

    def stop(self):
        try:
            if self.carpool:
                self.carpool.finish()
        finally:
            self.origin.stop()


@pytest.fixture(scope="session")
def ports():
    return Ports()


@pytest.fixture
def site(tmp_path, ports):
    if not nginx.program():
        pytest.skip("nginx is not installed; ./quickstart check brings it")
    made = Site(tmp_path, ports)
    yield made
    made.stop()


@pytest.fixture
def blob():
    """Three megabytes that no compression and no luck would repeat."""
    return os.urandom(3 << 20)
