"""One carpoold with its own configuration in its own directory, on loopback."""
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

PATIENCE = float(os.environ.get("CARPOOL_TEST_PATIENCE", "10"))     # seconds for what takes milliseconds
SANITIZER = re.compile(rb"AddressSanitizer|runtime error:|LeakSanitizer|UndefinedBehaviorSanitizer")


def program():
    found = os.environ.get("CARPOOLD") or shutil.which("carpoold")
    return found and os.path.abspath(found)


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def free_port(host="127.0.0.1"):
    """A port below those that the kernel gives to outgoing connections, which could take it meanwhile."""
    for _ in range(200):
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Carpoold:
    """`text` is YAML behind `listen` and `admin`, which are made here."""

    def __init__(self, directory, text=""):
        self.directory = pathlib.Path(directory)
        self.text = text
        self.stderr_path = self.directory / "stderr"
        self.process = None

    def start(self):
        for attempt in range(5):
            self.port, self.admin_port = free_port(), free_port()
            if self.try_start():
                return self
            if b"in use" not in self.stderr():
                break
        raise RuntimeError(f"carpoold did not start: {self.stderr().decode(errors='replace')[-2000:]}")

    def try_start(self):
        config = self.directory / "carpool.yaml"
        config.write_text(f"listen: 127.0.0.1:{self.port}\nadmin: {{listen: 127.0.0.1:{self.admin_port}}}\n{self.text}")
        with open(self.stderr_path, "ab") as log:
            self.process = subprocess.Popen([program(), "-c", str(config)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.directory)
        wait_until(lambda: self.process.poll() is not None or self.answers())
        return self.alive() and self.answers()

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def alive(self):
        return self.process.poll() is None

    def stderr(self):
        return self.stderr_path.read_bytes() if self.stderr_path.exists() else b""

    def complaints(self):
        """What no test may leave behind: a death, a sanitizer's report."""
        found = SANITIZER.search(self.stderr())
        if found or not self.alive():
            state = "" if self.alive() else f"carpoold ended with {self.process.returncode}; "
            return state + self.stderr()[-3000:].decode(errors="replace")
        return ""

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """Stops it gracefully, and says what is wrong with how it ended."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return "carpoold did not stop on SIGTERM"
        if self.process.returncode != 0 or SANITIZER.search(self.stderr()):
            return f"carpoold ended with {self.process.returncode}: {self.stderr()[-3000:].decode(errors='replace')}"
        return ""
