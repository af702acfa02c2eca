"""A file for each process beside the spool, locked for as long as the process lives.

The system takes a lock away when its process ends, however it ends, and not before: a process that stands still keeps
it. So a process that starts on the same machine knows which of the others have died, and need not wait until their
leases expire.

In doubt the lease decides. A lock says something only where this kernel keeps it, so the file must lie on a local file
system, and name the present boot of this machine: then no other machine, and no network between, has a say. It names
its own inode, too, because a copy of it is locked by no process.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog

log = structlog.get_logger()

LOCAL_FILE_SYSTEMS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Their locks are this kernel's own. Those of NFS, 9p, virtiofs or FUSE may be another machine's, or nobody's."""

PROC = Path("/proc")

SUFFIX = ".lock"

LONGEST_LOOK_S = 0.5
"""A heartbeat does not wait longer for the disk."""

MOST_FILES = 1000
"""Looked at in one go; there is one for each process of this machine, and those that have died since the last look."""


class WorkerFiles:
    """The file of this process, and those of others below `spool`.

    `proc` is where the kernel tells of itself. Without it, or without a local file system, nothing is found.
    """

    def __init__(self, spool: Path, worker_id: str, proc: Path = PROC) -> None:
        self.worker_id = worker_id
        self.dead: set[str] = set()
        """Workers of which this process has found that they have ended. Their ids are never used again."""
        self._spool = spool
        self._folder = spool / "workers"
        self._proc = proc
        self._trouble = ""
        self._boot = ""
        self._own: int | None = None
        self._own_path = self._folder / f"{os.urandom(8).hex()}{SUFFIX}"
        self._found: dict[str, Path] = {}
        self._looking: asyncio.Task[Mapping[str, Path]] | None = None

    async def find_dead(self) -> Sequence[str]:
        """Workers that have ended and whose leases may not have; the first call makes this process's own file.

        Never raises, and hardly waits: a disk that hangs must not cost the lease.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
            await asyncio.wait({self._looking}, timeout=LONGEST_LOOK_S)
        if not self._looking.done():
            return []
        try:
            self._found = dict(self._looking.result())
        except (OSError, ValueError, RuntimeError, MemoryError) as error:  # RuntimeError: no thread could be started
            if self._trouble != (trouble := str(error)):  # it is looked at every few seconds
                log.warning("no lock on a file: after a crash the lease decides", error=trouble)
            self._trouble = trouble
            return []
        finally:
            self._looking = None
        self.dead |= self._found.keys()
        return list(self._found)

    def forget(self, workers: Sequence[str]) -> None:
        """Redis knows that they have ended: their files go."""
        for worker in workers:
            with suppress(OSError):
                self._found.pop(worker).unlink(missing_ok=True)

    def close(self) -> None:
        """This process acts for its lease no more."""
        if self._own is not None:
            with suppress(OSError):
                self._own_path.unlink(missing_ok=True)
            os.close(self._own)
            self._own = None

    def _look(self) -> Mapping[str, Path]:
        if self._own is None:
            for folder in (self._spool, self._folder):  # `mode` is not for the folders above
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _file_system(self._folder, self._proc) not in LOCAL_FILE_SYSTEMS:
                return {}
            self._boot = (self._proc / "sys/kernel/random/boot_id").read_text().strip()
            self._own = self._make_own()
        others = (path for path in self._folder.glob(f"*{SUFFIX}") if path != self._own_path)
        found = {}
        for path in islice(others, MOST_FILES):
            with suppress(OSError):  # it has just gone, or is no file of ours
                if worker := self._ended(path):
                    found[worker] = path
        return found

    def _make_own(self) -> int:
        # It gets its name when it is locked and complete: no other process finds it earlier. What a crash leaves is
        # swept like other unfinished files of the spool.
        with NamedTemporaryFile(dir=self._spool, suffix=".new", delete=False) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = {"worker": self.worker_id, "boot": self._boot, "inode": os.fstat(file.fileno()).st_ino}
            file.write(json.dumps(named).encode())
            file.flush()
            Path(file.name).rename(self._own_path)
            # A lock belongs to the open file, whichever number it has. No child process inherits it.
            return os.dup(file.fileno())

    def _ended(self, path: Path) -> str | None:
        """The worker whose file it is, if it has ended; a file that proves nothing and is locked by no process goes."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(ValueError, KeyError, TypeError):
                named = json.loads(os.read(descriptor, 4096))
                if (named["boot"], named["inode"]) == (self._boot, os.fstat(descriptor).st_ino):
                    return str(named["worker"])
            path.unlink()
        except BlockingIOError:
            pass  # it lives
        finally:
            os.close(descriptor)
        return None


def _file_system(folder: Path, proc: Path) -> str:
    """What kind the folder lies on; empty: not known."""
    mounts = (line.split(" ") for line in (proc / "self/mountinfo").read_text().splitlines())
    # A later mount hides an earlier one at the same place.
    within = [
        (len(path.parts), number, fields[fields.index("-") + 1])
        for number, fields in enumerate(mounts)
        if folder.resolve().is_relative_to(path := Path(fields[4].replace("\\040", " ")))
    ]
    return max(within, default=(0, 0, ""))[2]
