"""Debian systems in folders: made by debootstrap, run as containers by systemd-nspawn."""
import os
import pathlib
import shutil
import subprocess
import sys

USER = "op"
"""Who types README's commands there: an ordinary user with sudo."""
HOME = f"/home/{USER}"
INCLUDE = ["systemd", "systemd-sysv", "dbus", "ca-certificates", "sudo"]
BOOT_PATIENCE = 900


class Failed(Exception):
    """A command that a test runs did not succeed."""


class NotHere(Exception):
    """This machine cannot make or boot such a system."""


def run(*command, **how):
    print("+", *command if len(" ".join(map(str, command))) < 300 else [*command[:4], "..."], flush=True)
    if subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, check=False, **how).returncode:
        raise Failed(f"failed: {' '.join(map(str, command))[:2000]}")


def need_programs():
    if os.geteuid() != 0:
        raise NotHere("root is needed for debootstrap and systemd-nspawn")
    programs = [name for name in ("debootstrap", "systemd-nspawn", "unshare", "mount") if not shutil.which(name)]
    if programs:
        raise NotHere(f"missing: {', '.join(programs)} (Debian: debootstrap systemd-container)")


def own_namespace(script):
    """Runs `script` again where mounts are its own, with the unified cgroups that a current systemd wants, and a /run that
    systemd-nspawn may fill."""
    if os.environ.get("CARPOOL_OWN_MOUNTS"):
        return
    inner = """
        set -e
        if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
            umount -l /sys/fs/cgroup
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
        fi
        resolv=$(cat /etc/resolv.conf)
        mount -t tmpfs tmpfs /run
        if ! cat /etc/resolv.conf >/dev/null 2>&1; then
            mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")"
            printf '%s\\n' "$resolv" >"$(readlink -m /etc/resolv.conf)"
        fi
        exec "$@"
    """
    os.environ["CARPOOL_OWN_MOUNTS"] = "yes"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh", sys.executable, script,
                          *sys.argv[1:]])


def base(suite, folder):
    """A minimal system; made once and never changed, see Machine."""
    done = folder / ".complete"
    if done.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        run("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDE)}", suite, folder, stdout=subprocess.DEVNULL)
    except Failed as failure:
        log = folder / "debootstrap/debootstrap.log"
        raise NotHere(f"debootstrap fails, see above\n{log.read_text()[-2000:] if log.exists() else ''}") from failure
    apt = folder / "etc/apt/apt.conf.d/90test"
    apt.write_text('APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\nAcquire::Retries "5";\n'
                   'Dpkg::Use-Pty "0";\nquiet "1";\n')
    run("chroot", folder, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    (folder / "etc/sudoers.d/op").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    (folder / "etc/hosts").write_text("127.0.0.1 localhost carpool-test\n::1 localhost\n")
    (folder / "etc/hostname").write_text("carpool-test\n")
    done.touch()
    return folder


class Machine:
    """A copy of a base system that may be written to."""

    def __init__(self, base_folder, folder):
        self.root = folder / "root"
        self.name = folder.name
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(parents=True)
        layers = f"lowerdir={base_folder},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=False).returncode:
            run("cp", "-a", "--reflink=auto", f"{base_folder}/.", self.root)

    def _nspawn(self, *options):
        return ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--machine=carpool-test", "--register=no",
                "--keep-unit", *options]

    def shell(self, script, user=USER, folder=f"{HOME}/carpool"):
        """Runs a shell script in it, without an init, with the network of this machine."""
        run(*self._nspawn("--pipe", f"--user={user}", f"--chdir={folder}", "--setenv=DEBIAN_FRONTEND=noninteractive",
                          "--setenv=LC_ALL=C.UTF-8"), "bash", "-exc", script)

    def give(self, source, to=f"{HOME}/carpool"):
        """Copies what git tracks of the source tree, as it is now; of no clone, everything but builds."""
        target = self.root / to.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        files = "git ls-files -z --cached --others --exclude-standard" if (source / ".git").exists() else \
            "find . -mindepth 1 -maxdepth 1 ! -name 'build*' -printf '%P\\0'"
        run("sh", "-c", f"cd '{source}' && {files} | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C '{target}'")
        run("chroot", self.root, "chown", "-R", f"{USER}:{USER}", HOME)

    def take(self, pattern, to):
        to.mkdir(parents=True, exist_ok=True)
        for path in self.root.glob(pattern.lstrip("/")):
            shutil.copy(path, to)

    def boot(self, script, results):
        """Boots it with nothing but a loopback network, and runs a script as root once it is up; true when that succeeded.
        Its words are in results/log."""
        results.mkdir(parents=True, exist_ok=True)
        for name in ("log", "status"):
            (results / name).unlink(missing_ok=True)
        (self.root / "etc/systemd/system/system-test.service").write_text(
            "[Unit]\nAfter=multi-user.target\n[Service]\nType=exec\n"
            f"ExecStart=/bin/bash -c '({script}) >/results/log 2>&1; echo $? >/results/status; systemctl poweroff'\n")
        wanted = self.root / "etc/systemd/system/multi-user.target.wants"
        wanted.mkdir(parents=True, exist_ok=True)
        (wanted / "system-test.service").symlink_to("../system-test.service")
        command = self._nspawn("--boot", "--private-network", "--console=pipe", f"--bind={results}:/results")
        with open(results / "console", "wb") as console:
            try:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=BOOT_PATIENCE,
                               check=False)
            except subprocess.TimeoutExpired:
                print(f"{self.name}: it has not ended after {BOOT_PATIENCE} s", flush=True)
        return (results / "status").exists() and (results / "status").read_text().strip() == "0"


def need_boot(machine, results):
    if not machine.boot("true", results):
        console = (results / "console").read_text(errors="replace")
        raise NotHere(f"{console}\nsystemd does not start in a container, see above")
