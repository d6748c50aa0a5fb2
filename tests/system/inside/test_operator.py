"""From the package to its purge, by the commands that README.md tells; each test begins where the one before it ended."""
import os
import pathlib
import re
import signal
import socket

import pytest

from behaviour.harness import wait_until
from behaviour.harness.load import Busy
from conftest import POLICY, PROXY, sh

BASIC = "listen: [127.0.0.1:3128]\ndefaults:\n  maxSockets: 7\n"
EMPTY_WORDS = ("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log/journal", "/var/log/apt", "/var/log/dpkg.log",
               "/var/log/alternatives.log", "/var/lib/systemd", "/etc/ld.so.cache", "/var/lib/sudo", "/var/tmp", "/var/backups",
               "/var/lib/logrotate", "/var/log/btmp", "/var/log/wtmp", "/var/log/lastlog", "/etc/mtab", "/etc/machine-id")


def files():
    """All files of the system but those that any package's installation changes."""
    found = set()
    for top in ("/etc", "/usr", "/var", "/opt", "/srv"):
        for folder, folders, names in os.walk(top):
            found.update(os.path.join(folder, name) for name in names + folders)
    return {path for path in found if not path.startswith(EMPTY_WORDS) and "__pycache__" not in path}


@pytest.fixture(scope="module")
def files_before():
    return files()


def refused(address=PROXY):
    with socket.socket() as sock:
        return sock.connect_ex(address) != 0


def test_install(files_before, readme, service, ask):
    assert refused()
    readme.run("Install it")
    service.wait_active()
    assert sh("systemctl is-enabled carpoold").stdout.strip() == "enabled"
    assert sh("systemctl is-enabled carpoold.socket", check=False).stdout.strip() == "disabled"
    assert ask() == b"hello\n"
    assert "127.0.0.1:8000" in sh("carpoolctl status").stdout


def test_status_has_live_figures(service):
    assert "active" in service.show("StatusText")


def test_the_manual_is_there():
    for page in ("man8/carpoold.8", "man5/carpool.yaml.5", "man1/carpoolctl.1"):
        assert pathlib.Path(f"/usr/share/man/{page}.gz").exists()


def test_the_documents_lead_to_each_other():
    folder = pathlib.Path("/usr/share/doc/carpool")
    for document in folder.rglob("*.md"):
        for link in re.findall(r"\]\(([^)# ]+)", document.read_text()):
            assert link.startswith("http") or (document.parent / link).exists(), f"{document}: {link}"
    assert (folder / "doc/clients.md").exists() and (folder / "SECURITY.md").exists()


def test_a_key_that_only_carpool_may_read(edit, ask):
    """a client's certificate: its key belongs to the group carpool"""
    sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=us -days 9 "
       "-keyout /etc/carpool/key.pem -out /etc/carpool/cert.pem && "
       "chgrp carpool /etc/carpool/key.pem && chmod 640 /etc/carpool/key.pem", user="root")
    edit(BASIC + "upstreams:\n  api:\n    match: api.test\n    tls: {cert: cert.pem, key: key.pem}\n")
    assert ask() == b"hello\n"
    edit(BASIC)
    sh("rm /etc/carpool/key.pem /etc/carpool/cert.pem", user="root")


def test_reload(edit, service, ask):
    pid = service.pid
    edit(BASIC)
    assert '"maxSockets": 7' in sh("carpoolctl --json config").stdout.replace('":7', '": 7')
    assert service.pid == pid and ask() == b"hello\n"


def test_a_reload_with_a_mistake_fails(edit, readme, service, ask):
    """systemctl says so, the log says why, and the old configuration serves on"""
    pid = service.pid
    assert edit(BASIC + "  maxSocket: 8\n", check=False).failed
    said = readme.run("Change the policy", 1).stdout
    assert "carpool.yaml:4:3: error: unknown key 'maxSocket'" in said, said
    assert service.is_active() and service.pid == pid and ask() == b"hello\n"


def test_a_reload_that_only_the_daemon_can_refuse_fails(edit, readme, service, ask):
    """a port that somebody else has passes `carpoold -t`"""
    pid = service.pid
    with socket.create_server(("127.0.0.1", 3199)):
        assert edit(BASIC.replace("3128]", "3128, 127.0.0.1:3199]"), check=False).failed
    assert "127.0.0.1:3199" in readme.run("Change the policy", 1).stdout
    assert service.is_active() and service.pid == pid and ask() == b"hello\n"
    edit(BASIC)


def test_a_reload_reaches_the_daemon_wherever_the_admin_listener_is(edit):
    """off, back again, moved"""
    for admin in ("off", "127.0.0.1:3129", "127.0.0.1:3130", "unix:/run/carpool/admin.sock"):
        edit(BASIC + f"admin: {{listen: {admin}}}\n")
    assert edit(BASIC + "admin: off\n", check=False).failed
    edit(BASIC)
    sh("carpoolctl status")


def test_the_proxy_does_not_lead_to_the_admin_api(edit):
    """by none of this host's addresses, one that it gets later included, though the unit hides their list from the daemon"""
    everywhere = "clients: [127.0.0.0/8, 192.0.2.0/24]"
    try:
        sh("ip address add 192.0.2.77/32 dev lo", user="root")
        edit(f"listen: [0.0.0.0:3128]\naccess: {{{everywhere}}}\nadmin: {{listen: 0.0.0.0:3129, {everywhere}}}\n")
        assert "200" in sh("curl -si http://192.0.2.77:3129/healthz").stdout.splitlines()[0]
        sh("ip address add 192.0.2.78/32 dev lo", user="root")
        for host in ("127.0.0.1", "127.0.0.2", "localhost", "carpool-test", "192.0.2.77", "192.0.2.78"):
            said = sh(f"curl -si -x http://127.0.0.1:3128 http://{host}:3129/agents").stdout
            assert "502" in said.splitlines()[0] and "proxy_loop_detected" in said, host
    finally:
        sh("ip address del 192.0.2.77/32 dev lo; ip address del 192.0.2.78/32 dev lo", user="root", check=False)
        edit(BASIC)


def test_priorities_in_the_journal(service):
    """log levels are the journal's, and stand in no text"""
    entries = service.journal()
    levels = {re.search(r"level=(\w+)", entry["MESSAGE"])[1]: entry["PRIORITY"] for entry in entries
              if "level=" in entry["MESSAGE"] and entry.get("SYSLOG_IDENTIFIER") == "carpoold"}
    assert levels["info"] == "6" and levels["error"] == "3", levels
    assert not [entry["MESSAGE"] for entry in entries if entry["MESSAGE"].startswith("<")]


def test_metrics(readme):
    assert "carpool_client_requests_total" in readme.run("Watch it").stdout


def test_the_access_log_is_rotated(edit, ask, service):
    """by the file of the package"""
    log = pathlib.Path("/var/log/carpool/access.log")
    edit(BASIC + "accessLog:\n  path: /var/log/carpool/access.log\n")
    ask()
    wait_until(lambda: log.exists() and log.read_text().count("\n") == 1, "the first line is written")
    sh("/usr/sbin/logrotate --force /etc/logrotate.d/carpool", user="root")
    wait_until(lambda: (ask(), log.exists() and "GET" in log.read_text())[1], "a new file is written")
    assert (log.parent / "access.log.1").read_text().count("\n") >= 1
    edit(BASIC)


def test_a_hang_is_noticed(service, ask):
    """watchdog"""
    service.override("WatchdogSec=2s")
    pid = service.pid
    os.kill(pid, signal.SIGSTOP)
    service.wait_active(but=pid)
    assert ask() == b"hello\n"
    assert "watchdog" in sh("journalctl --unit=carpoold --no-pager", user="root").stdout
    service.override("")


def test_a_crash_is_followed_by_a_start(service, ask):
    pid = service.pid
    os.kill(pid, signal.SIGSEGV)
    service.wait_active(but=pid)
    assert ask() == b"hello\n"
    said = sh("journalctl --unit=carpoold --no-pager", user="root").stdout
    assert "status=11/SEGV" in said and "dumped" not in said


def test_sockets_of_systemd(readme, service, ask):
    """the switch, as README.md says it"""
    readme.run("Restart without losing a request")
    service.wait_active()
    assert sh("systemctl is-active carpoold.socket").stdout.strip() == "active"
    assert ask() == b"hello\n"


def test_restarts_under_load_lose_nothing(readme, service, origin):
    with Busy(PROXY, [origin]) as busy:
        for _ in range(3):
            busy.goes_on(50)
            pid = service.pid
            readme.run("Restart without losing a request", 1)
            service.wait_active(but=pid)
        busy.goes_on(50)


def test_an_upgrade_under_load_loses_nothing(readme, service, origin):
    """README's command, with the newer package where it looks; the edited configuration stays"""
    sh("rm -f ../carpool_*.deb && cp /root/newer/carpool_*.deb .. && chmod 644 ../carpool_*.deb", user="root")
    with Busy(PROXY, [origin]) as busy:
        busy.goes_on(50)
        pid = service.pid
        readme.run("Upgrade, remove")
        service.wait_active(but=pid)
        busy.goes_on(50)
    assert sh("dpkg-query -W -f '${Version}' carpool").stdout.endswith("+newer")
    assert POLICY.read_text().startswith(BASIC)


def test_removal_and_purge_leave_nothing(files_before, readme, service):
    remove, purge = readme.script("Upgrade, remove", 1).splitlines()
    sh(remove)
    assert refused() and refused(("127.0.0.1", 3129)) and not service.is_active()
    assert POLICY.read_text().startswith(BASIC)
    sh(purge)
    sh("apt-get purge --autoremove", user="root")
    assert not files() - files_before
    assert not list(pathlib.Path("/run").glob("carpool*"))
    assert "carpool" not in sh("systemctl list-units --all --no-legend 'carpool*'", user="root").stdout
    assert not list(pathlib.Path("/var/lib/systemd").rglob("*carpool*"))


def test_every_command_of_the_readme_was_run(readme):
    assert not readme.left
