"""What no second run makes undone: ../../run_pytest.py forgives nothing when something was put down here."""
import os
import signal

CRASHES = {-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP,
                                  signal.SIGSYS)}
SANITIZER = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "UndefinedBehaviorSanitizer", "MemorySanitizer",
             "runtime error:")


def put_down(what):
    path = os.environ.get("CARPOOL_EVIDENCE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{os.environ.get('PYTEST_CURRENT_TEST', '')}: {what}\n")


def reports(text):
    """The words of sanitizers that are in it."""
    return [word for word in SANITIZER if word in text]


def inquest(status, text):
    """Looks at a program of ours that has ended, or still runs (None), and what it said."""
    if status in CRASHES:
        put_down(f"ended by signal {-status}: {text[-5000:]}")
    elif reports(text):
        put_down(f"{reports(text)} in {text[-5000:]}")
