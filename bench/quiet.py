"""What the measurements share with all else that runs on the machine: where programs run, how much others take meanwhile, and
what is done about it."""

import os
import resource
import sys
import time
from contextlib import contextmanager

REPEATS = 3  # of one measurement at most
REALTIME = os.sched_param(1)


def idle_ns():
    """How long the processors had nothing to do so far. The kernel measures that, while it only samples what they do."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (fields[3] + fields[4]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def own_ns():
    """What this program has done and those that it waited for, which is the load generator."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usage) * 1e9


class Account:
    """Which share of the machine goes to what is not watched, from now on."""

    def __init__(self, watched=()):
        self.watched = watched
        self.before = self.read()

    def read(self):
        return time.monotonic_ns() * os.cpu_count(), idle_ns(), own_ns() + sum(w.cpu_ns() for w in self.watched)

    def others(self):
        whole, idle, ours = (b - a for a, b in zip(self.before, self.read()))
        return max(0.0, (whole - idle - ours) / whole)


def may_be_realtime():
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, REALTIME)
        os.sched_setscheduler(0, policy, priority)
    except OSError:
        return False
    return True


class Machine:
    """`limit` is the share of it from which on a measurement is disturbed; `patience` the seconds that are left for waiting and
    for measuring again."""

    def __init__(self, limit, patience, realtime):
        self.limit, self.patience = limit, patience
        self.realtime = realtime and may_be_realtime()

    @contextmanager
    def placed(self, cores):
        """Programs that are started meanwhile run on these cores alone, before all that is not of real-time priority."""
        affinity, policy, priority = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setaffinity(0, cores)
        if self.realtime:
            os.sched_setscheduler(0, os.SCHED_FIFO, REALTIME)
        try:
            yield
        finally:
            os.sched_setscheduler(0, policy, priority)
            os.sched_setaffinity(0, affinity)

    def others(self, seconds=0.25):
        """What others take now, while nothing is measured."""
        account = Account()
        time.sleep(seconds)
        return account.others()

    def wait(self):
        """Until the machine is quiet; False when patience is over before."""
        while self.patience > 0:
            self.patience -= 0.25
            if self.others() <= self.limit:
                return True
        return False

    def measured(self, watched, measure):
        """What measure() gives, with the share that others had as `others`. Disturbed measurements are made again."""
        for attempt in range(1 + REPEATS):
            began, account = time.monotonic(), Account(watched)
            result = measure()
            result["others"] = account.others()
            if attempt:
                self.patience -= time.monotonic() - began
            if result["others"] <= self.limit or attempt == REPEATS or not self.wait():
                break
        return result

    def announce(self):
        others = self.others(1)
        print(f"bench: others take {100 * others:.0f} % of this machine; measurements with more than {100 * self.limit:.0f} % are disturbed, "
              f"and for up to {self.patience:.0f} s made again; real-time priority: {'yes' if self.realtime else 'no'}",
              file=sys.stderr)
