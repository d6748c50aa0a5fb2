#!/usr/bin/env python3
"""Runs pytest, and looks once more at what failed: run_pytest.py [PYTEST OPTIONS] FOLDER...

At most MOST failures are each run again, by themselves and one after the other. One that then passes TIMES times in a row is
called flaky, loudly, and does not fail the run. Never forgiven are: a failure again, more failures than that, and whatever
the harness has put down as evidence (behaviour/harness/evidence.py): that carpoold crashed, or a sanitizer's report."""
import os
import subprocess
import sys
import tempfile

import pytest

MOST = 3
TIMES = 3
RULE = "=" * 100


class Failures:
    """What failed: {test: its output}. Under xdist the reports of all workers come here."""

    def __init__(self):
        self.tests = {}
        self.passed = 0
        self.others = False     # what belongs to no test, e.g. a file that cannot be imported

    def pytest_runtest_logreport(self, report):
        self.passed += report.passed and report.when == "call"
        if report.failed:
            text = f"{report.longreprtext}\n" + "".join(f"--- {name}\n{text}\n" for name, text in report.sections)
            self.tests[report.nodeid] = self.tests.get(report.nodeid, "") + f"--- {report.when}\n{text}"

    def pytest_collectreport(self, report):
        self.others = self.others or report.failed


def run(arguments):
    """One run in this process; (its status, its Failures)."""
    failures = Failures()
    return int(pytest.main(["-p", "no:cacheprovider", *arguments], plugins=[failures])), failures


def find(test, arguments):
    """The test with its file's whole name: xdist tells it from the folder that is common to all that was to be run."""
    file = test.partition("::")[0]
    words = [os.path.abspath(word.partition("=")[2] or word) for word in arguments]
    folders = [folder for word in words for folder in (word, os.path.dirname(word))]
    return next((os.path.join(folder, test) for folder in folders if os.path.isfile(os.path.join(folder, file))), test)


def once_more(root, test):
    """In a process of its own, so that nothing is left of the run before: whether it passes."""
    done = subprocess.run([sys.executable, __file__, "--once", f"--rootdir={root}", "-q", test],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    if done.returncode:
        print(f"{RULE}\nfailed again: {test}\n{done.stdout}", flush=True)
    return done.returncode == 0


def evidence(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def verdict(status, failures, root, path, arguments):
    """The exit status, when the failures have been looked at again."""
    if status == 0 and not evidence(path):
        return 0
    if evidence(path):
        print(f"{RULE}\nnot to be forgiven:\n{evidence(path)}", flush=True)
        return 1
    if status != pytest.ExitCode.TESTS_FAILED or failures.others or not 0 < len(failures.tests) <= MOST:
        return status
    crashed = [test for test, text in failures.tests.items() if "crashed while running" in text]
    if crashed:
        print(f"{RULE}\nnot to be forgiven, the tests' own process crashed: {crashed}", flush=True)
        return 1
    for test in failures.tests:
        print(f"{RULE}\nonce more, {TIMES} times by itself: {test}", flush=True)
        if not all(once_more(root, find(test, arguments)) for _ in range(TIMES)):
            return status
    if evidence(path):
        print(f"{RULE}\nnot to be forgiven:\n{evidence(path)}", flush=True)
        return 1
    for test, text in failures.tests.items():
        print(f"{RULE}\n{text}")
    print(RULE)
    for test in failures.tests:
        print(f"flaky: {test}")
    print(f"Each of them failed once (above) and then passed {TIMES} times: the test or Carpool depends on luck. Mend it.\n"
          f"{RULE}", flush=True)
    return 0


def main(arguments):
    if arguments[:1] == ["--once"]:
        status, failures = run(arguments[1:])
        return status or int(failures.passed == 0)
    root = next(word.partition("=")[2] for word in arguments if word.startswith("--rootdir="))
    with tempfile.TemporaryDirectory(prefix="carpool-pytest-") as directory:
        path = os.environ["CARPOOL_EVIDENCE"] = os.path.join(directory, "evidence")
        open(path, "w", encoding="utf-8").close()
        status, failures = run(arguments)
        sys.stdout.flush()
        return verdict(status, failures, os.path.abspath(root), path, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
