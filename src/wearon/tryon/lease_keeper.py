"""A process beside the worker that renews its lease while the event loop stands still.

A heartbeat needs the loop, and the loop is also fed by strangers. When it stalls for longer than a lease, the other
workers take this worker's jobs and make their paid calls again, although the first calls are still under way. So the
loop tells the keeper of each heartbeat; when none comes for some seconds, the keeper renews the lease itself. It is a
process and not a thread, because what stalls the loop often holds the interpreter's lock, too.

It does nothing, and no command reaches Redis, as long as the loop beats. It lets go:

- when the worker's process is gone: jobs of a killed worker run elsewhere as fast as without a keeper;
- when that process is stopped (SIGSTOP, a frozen container): nobody knows whether it ever goes on;
- when the loop has been silent for longer than any call can be under way: it is dead for good.

It renews only a lease that has not ended. One that has may be in somebody else's hands, and Redis may just be back
from an outage, when the first to beat decides who is dead (`wearon.tryon.leases`).

`wearon.tryon.lease_renewal` is what runs in the process.
"""

import json
import socket
import subprocess
import sys

import structlog

from wearon.tryon.lease_renewal import Kept

log = structlog.get_logger()


class LeaseKeeper:
    """The worker's side: starts the process with the first heartbeat, and again when it is gone."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._process: subprocess.Popen[bytes] | None = None
        self._beats: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Of the keeper's process; None while there is none."""
        return self._process.pid if self._process else None

    def beaten(self) -> None:
        """Tell the keeper that the loop has just renewed the lease.

        Never blocks and never raises: without a keeper the worker works, as well as its loop allows.
        """
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._beats is not None
            self._beats.send(b".")
        except BlockingIOError:
            pass  # the keeper has not read the last thousand yet: it knows
        except OSError as error:
            log.warning("no process keeps the lease while the event loop stalls", error=str(error))

    def close(self) -> None:
        """End the process: what becomes of the lease is the worker's business again."""
        if self._beats is not None:
            self._beats.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._beats = None

    def _start(self) -> None:
        if self._process is not None:
            log.warning("the process that keeps the lease is gone, and is started again")
            self.close()
        ours, theirs = socket.socketpair()
        self._beats = ours
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", "wearon.tryon.lease_renewal", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        # Over the socket: whoever lists processes sees their arguments, and the URL holds a password.
        ours.sendall(json.dumps(self._kept._asdict()).encode() + b"\n")
        ours.setblocking(False)
