"""A process beside the worker that renews its lease while the event loop stands still.

A heartbeat needs the loop, and the loop also reads what strangers send. When it stalls for longer than a lease, the
other workers take this worker's jobs and make their paid calls again, although the first calls are still under way. So
the loop tells the keeper of each heartbeat; when none comes for some seconds, the keeper renews the lease itself. It is
a process and not a thread, because what stalls the loop often holds the interpreter's lock, too.

It does nothing, and sends no command to Redis, as long as the loop's heartbeats come. It stops renewing:

- when the worker's process is gone: jobs of a killed worker run elsewhere as fast as without a keeper;
- when that process is stopped (SIGSTOP, a frozen container): it may never go on;
- when the loop has been silent for longer than any call can be under way: it is dead for good.

It renews only a lease that has not expired. Jobs of one that has may be another worker's, and Redis may just be back
from an outage, when the first heartbeat decides which workers are dead (`wearon.queue.lease`).

`wearon.queue.lease_renewal` is what runs in the process.
"""

import json
import socket
import subprocess
import sys

import structlog

from wearon.queue.lease_renewal import Kept

log = structlog.get_logger()


class LeaseKeeper:
    """The worker's side: starts the process with the first heartbeat, and again when it is gone."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._process: subprocess.Popen[bytes] | None = None
        self._heartbeats: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The id of the keeper's process; None while there is none."""
        return self._process.pid if self._process else None

    def heartbeat(self) -> None:
        """Tell the keeper that the loop has just renewed the lease.

        Never blocks and never raises: without a keeper the worker works, as well as its loop allows.
        """
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._heartbeats is not None
            self._heartbeats.send(b".")
        except BlockingIOError:
            pass  # the keeper has not read the last thousand yet: it knows
        except OSError as error:
            log.warning("no process keeps the lease while the event loop stalls", error=str(error))

    def close(self) -> None:
        """End the process: what becomes of the lease is the worker's business again."""
        if self._heartbeats is not None:
            self._heartbeats.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._heartbeats = None

    def _start(self) -> None:
        if self._process is not None:
            log.warning("the process that keeps the lease is gone, and is started again")
            self.close()
        ours, theirs = socket.socketpair()
        self._heartbeats = ours
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", "wearon.queue.lease_renewal", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        # Over the socket: every user of the machine sees arguments of processes, and the URL holds a password.
        ours.sendall(json.dumps(self._kept._asdict()).encode() + b"\n")
        ours.setblocking(False)
