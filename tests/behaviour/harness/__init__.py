"""What the tests are made of: a strict client, a scripted origin, the daemon, a name server."""

from .client import Client
from .daemon import Daemon, run
from .origin import Connection, Origin
from .waiting import PATIENCE, soon, stays, wait_until
from .wire import Closed, Fields, Malformed, Reset, Truncated, Wire

__all__ = ["Client", "Closed", "Connection", "Daemon", "Fields", "Malformed", "Origin", "PATIENCE", "Reset",
           "Truncated", "Wire", "run", "soon", "stays", "wait_until"]
