"""What carpoold.service promises of the process that it starts."""
import json
import pathlib
import re

import pytest

from conftest import HERE, sh

MAX_EXPOSURE = 1.5
REPLACED = ("ExecStart", "ExecReload", "Type", "WatchdogSec", "Restart", "RestartSec", "RuntimeDirectory", "LogsDirectory")


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Taken away again, so that the next file begins with a system that has none."""
    sh("sudo apt-get install ../carpool_*.deb")
    yield
    sh("apt-get purge --autoremove carpool", user="root")


def test_a_process_of_the_unit(service):
    """every promise, tried by probe.py"""
    unit = sh("systemctl cat carpoold").stdout
    kept = [line for line in unit.splitlines() if line.partition("=")[0] not in REPLACED]
    kept[kept.index("[Service]")] = "\n".join([
        "[Service]", "Type=oneshot", "ExecStart=/usr/bin/python3 /usr/local/lib/probe.py", "RuntimeDirectory=probe",
        "LogsDirectory=probe", "StandardOutput=file:/root/probe.json", "Environment=PYTHONDONTWRITEBYTECODE=1"])
    pathlib.Path("/etc/systemd/system/probe.service").write_text("\n".join(kept))
    pathlib.Path("/usr/local/lib/probe.py").write_text((HERE / "probe.py").read_text())
    pathlib.Path("/tmp/of-others").touch()
    sh("systemctl daemon-reload && systemctl start probe.service || journalctl --unit=probe.service --no-pager", user="root")
    found = json.loads(pathlib.Path("/root/probe.json").read_text())
    sh("rm -rf /etc/systemd/system/probe.service /usr/local/lib/probe.py /var/log/probe /var/log/private/probe && "
       "systemctl daemon-reload", user="root")
    assert found == {"possible": [], "impossible": [], "umask": 0o077, "core": [0, 0]}


def test_the_daemon_itself(service):
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{service.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert status["CapEff"] == status["CapBnd"] == "0" * 16
    assert "0" not in status["Uid"].split()
    assert sh(f"stat -c %U /proc/{service.pid}").stdout.strip() == "carpool"


def test_systemds_own_judgement():
    report = sh("systemd-analyze security --no-pager carpoold.service", user="root").stdout
    assert float(re.search(r"Overall exposure level for carpoold.service: ([\d.]+)", report)[1]) <= MAX_EXPOSURE
    assert not sh("systemd-analyze verify --man=no /usr/lib/systemd/system/carpoold*.service "
                  "/usr/lib/systemd/system/carpoold*.socket 2>&1 | grep carpool || true", user="root").stdout
