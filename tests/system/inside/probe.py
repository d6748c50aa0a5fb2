"""Run as if it were carpoold, by the same unit: tries what that unit forbids, and prints what was possible all the same."""
import json
import mmap
import os
import resource
import socket
import stat
import subprocess
import time

OWN, LOGS = os.environ["RUNTIME_DIRECTORY"], os.environ["LOGS_DIRECTORY"]


def write(path):
    with open(path, "w", encoding="ascii") as file:
        file.write("x")


def see(path):
    """Fails where it is hidden."""
    os.lstat(path)


def status(field, wanted):
    with open("/proc/self/status", encoding="ascii") as file:
        value = dict(line.rstrip("\n").split(":\t", 1) for line in file)[field]
    if value == wanted:
        raise PermissionError


def start(*command):
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode:
        raise PermissionError


def be_root():
    if os.getuid() != 0:
        raise PermissionError


FORBIDDEN = {
    "be root": be_root,
    "gain privileges": lambda: status("NoNewPrivs", "1"),
    "hold a capability": lambda: status("CapBnd", "0000000000000000"),
    "call what it likes": lambda: status("Seccomp", "2"),
    "write to /etc": lambda: write("/etc/probe"),
    "write to /usr": lambda: write("/usr/probe"),
    "write to /var/lib": lambda: write("/var/lib/probe"),
    "change its configuration": lambda: write("/etc/carpool/carpool.yaml"),
    "look into homes": lambda: os.listdir("/home/op"),
    "see other's /tmp": lambda: see("/tmp/of-others"),
    "see other processes": lambda: see("/proc/1/status"),
    "see the kernel's variables": lambda: see("/proc/sys"),
    "write to a control group": lambda: write("/sys/fs/cgroup/cgroup.procs"),
    "see a kernel device": lambda: see("/dev/kmsg"),
    "make a device": lambda: os.mknod(f"{OWN}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "make a file setuid": lambda: (write(f"{OWN}/suid"), os.chmod(f"{OWN}/suid", 0o4755)),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open a vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close(),
    "have memory to write and run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "make a user namespace": lambda: start("unshare", "--user", "true"),
    "mount": lambda: start("mount", "-t", "tmpfs", "none", "/tmp"),
    "change its personality": lambda: start("setarch", "--addr-no-randomize", "true"),
    "run with real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "raise its priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "set the host's name": lambda: socket.sethostname("probe"),
    "change its root": lambda: os.chroot("/"),
    "dump core": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1)),
}

ALLOWED = {
    "write to its runtime directory": lambda: write(f"{OWN}/file"),
    "write to its log directory": lambda: write(f"{LOGS}/file"),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "have a unix socket": lambda: socket.socket(socket.AF_UNIX).bind(f"{OWN}/socket"),
}


def possible(attempt):
    try:
        attempt()
    except (OSError, ValueError):
        return False
    return True


print(json.dumps({
    "possible": [name for name, attempt in FORBIDDEN.items() if possible(attempt)],
    "impossible": [name for name, attempt in ALLOWED.items() if not possible(attempt)],
    "umask": os.umask(0), "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
