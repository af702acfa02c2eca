"""What was paid for, on disk until the platform has it, so that no crash on this machine makes us pay again.

First the image model's answer as it came, before anything else can go wrong with it; then the finished picture, where
the answer only points to it, for an hour. Each is a file of the session's: a line of JSON that says whose it
is and what it took, then the bytes. A file appears under its name only when all of it is on the disk, and one that is
damaged all the same counts as absent.

What the disk does not take is held in this process's memory until it does, or until its session is final. The job
worker keeps such a job (`holds_alone`): no other process has what was paid for.

    SpoolError   it could not be kept (disk full, no permission): the job may go on without; or not be read just now
"""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import structlog
from pydantic import BaseModel

from wearon.dependencies import Dependencies, Dependency
from wearon.platform.base import Channel, SessionRef
from wearon.redis.cancellation import to_its_end
from wearon.resources.shortage import is_shortage
from wearon.tryon.image_model import GeneratedImage, PaidAnswer, Usage

log = structlog.get_logger()

ANSWER = ".answer"
PICTURE = ".picture"
UNFINISHED = ".new"
DAMAGED = ".damaged"

MAX_HEADER_BYTES = 4096
"""Of a file's first line; ours have 300."""


class SpoolError(Exception):
    """What was paid for could not be kept, or not be read."""


class _Header(BaseModel):
    """The first line of a file."""

    channel: Channel
    owner_id: str
    session_id: str
    usage: Usage | None
    model: str | None = None
    """The image model that was paid; None in files of earlier versions, which did not say."""
    sha256: str
    """Of the bytes: a disk that was full or a power cut can leave a file shorter, or with holes."""

    @property
    def ref(self) -> SessionRef:
        """The session that the file belongs to."""
        return SessionRef(self.channel, self.owner_id, self.session_id)


@dataclass(frozen=True, slots=True)
class _Paid:
    """What was paid for a session, as it lies in a file or is to lie there."""

    ref: SessionRef
    data: bytes
    usage: Usage | None
    model: str | None
    since: float = field(default_factory=time.time)


class Spool:
    """Keeps both in `folder`, which several processes may share. All disk work is off the loop.

    `dependencies` is notified while this machine's disk does not take a file.
    """

    def __init__(self, folder: Path, dependencies: Dependencies) -> None:
        self._folder = folder
        self._dependencies = dependencies
        self._unwritten: dict[Path, _Paid] = {}
        """What is not (yet) on disk: at most what the running jobs have paid for, since these jobs are kept."""

    async def keep_answer(self, ref: SessionRef, answer: PaidAnswer) -> bool:
        """Keep the answer, through a power cut too, and whatever is cancelled meanwhile. Whether the disk took it."""
        return await self._kept(self._keep(ANSWER, _Paid(ref, answer.body, None, answer.model)))

    async def load_answer(self, ref: SessionRef) -> PaidAnswer | None:
        """The session's answer; None when there is none, or none that can be used. Raises SpoolError."""
        found = await self._find(ref, ANSWER)
        return None if found is None else PaidAnswer(found.data, found.model)

    async def keep_picture(self, ref: SessionRef, image: GeneratedImage) -> bool:
        """Keep the picture, through a power cut too, and whatever is cancelled meanwhile. Whether the disk took it."""
        return await self._kept(self._keep(PICTURE, _Paid(ref, image.jpeg, image.usage, image.model)))

    async def load_picture(self, ref: SessionRef) -> GeneratedImage | None:
        """The session's picture; None when there is none, or none that can be used."""
        found = await self._find(ref, PICTURE)
        return None if found is None else GeneratedImage(found.data, found.usage, model=found.model)

    async def discard(self, ref: SessionRef) -> None:
        """Forget what is kept for the session, if anything is. What cannot be deleted is left to `sweep`."""
        try:
            await asyncio.to_thread(self._discard, ref)
        except (OSError, ValueError) as error:
            log.warning("spooled file not deleted", session_id=ref.session_id, reason=type(error).__name__)

    async def holds(self, ref: SessionRef) -> bool:
        """Whether anything is kept for the session. Nothing is in a folder that cannot be looked into."""
        paths = [self._path(ref, kind) for kind in (ANSWER, PICTURE)]
        if any(path in self._unwritten for path in paths):
            return True
        return await asyncio.to_thread(lambda: any(os.path.exists(path) for path in paths))  # noqa: PTH110 (Path's raises)

    def holds_alone(self, session_id: str) -> bool:
        """Whether something that was paid for the session is in this process's memory only."""
        return any(paid.ref.session_id == session_id for paid in self._unwritten.values())

    async def left_behind(self, older_than: timedelta) -> Sequence[SessionRef]:
        """The sessions for which something has been kept for longer than that.

        A file whose first line cannot be read is renamed, and deleted by `sweep`: it belongs to no known session.
        """
        before = time.time() - older_than.total_seconds()
        for path, paid in list(self._unwritten.items()):
            with suppress(SpoolError):
                await self._write_down(path, paid)
        held = [paid.ref for paid in self._unwritten.values() if paid.since < before]
        return list(dict.fromkeys([*await asyncio.to_thread(self._left_behind, before), *held]))

    async def sweep(self, older_than: timedelta) -> int:
        """Delete the remains of interrupted saves and damaged files older than that; returns how many files.

        What was paid for is never deleted by age: `discard` it once its session is final.
        """
        return await asyncio.to_thread(self._sweep, time.time() - older_than.total_seconds())

    async def _kept(self, keeping: Coroutine[Any, Any, None]) -> bool:
        try:
            await to_its_end(keeping)
        except SpoolError as error:
            # It is here and paid for; only a crash before the upload would cost a second one.
            log.error("what was paid for could not be spooled", error=str(error))
            return False
        return True

    async def _keep(self, kind: str, paid: _Paid) -> None:
        try:
            path = self._path(paid.ref, kind)
        except ValueError as error:
            raise SpoolError(f"the {kind[1:]} could not be kept: {error}") from error
        self._unwritten[path] = paid  # also while it is being written: a cancellation must not lose it
        await self._write_down(path, paid)

    async def _write_down(self, path: Path, paid: _Paid) -> None:
        try:
            await asyncio.to_thread(self._write, path, paid)
        except (OSError, RuntimeError, MemoryError) as error:  # RuntimeError: no thread could be started
            why = getattr(error, "strerror", None) or type(error).__name__
            self._dependencies.refused(Dependency.MACHINE, f"what is paid for cannot be kept on disk: {why}", "spool")
            raise SpoolError(f"the {path.suffix[1:]} could not be kept on disk: {error}") from error
        self._dependencies.answered(Dependency.MACHINE, "spool")
        if self._unwritten.get(path) is paid:
            del self._unwritten[path]
        if path.suffix == PICTURE:  # then the answer that it was made of need not wait for the disk any more
            self._unwritten.pop(path.with_suffix(ANSWER), None)

    async def _find(self, ref: SessionRef, kind: str) -> _Paid | None:
        try:
            path = self._path(ref, kind)
            held = self._unwritten.get(path)
            if held is not None and held.ref == ref:
                with suppress(SpoolError):
                    await self._write_down(path, held)
                return held
            return await asyncio.to_thread(_load, path, ref)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if is_shortage(error):  # it says nothing about the file, and what was paid for is not paid again for that
                raise SpoolError(f"the {kind[1:]} cannot be read at the moment") from error
            log.error("spooled file unusable", kind=kind, session_id=ref.session_id, reason=type(error).__name__)
            return None

    def _write(self, path: Path, paid: _Paid) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Readable for us alone, like every file made this way.
        with NamedTemporaryFile(dir=self._folder, suffix=UNFINISHED, delete=False) as file:
            try:
                file.writelines((_header(paid), b"\n", paid.data))
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        _sync(self._folder)

    def _left_behind(self, before: float) -> Sequence[SessionRef]:
        found: dict[SessionRef, None] = {}
        paths: list[Path] = []
        with suppress(OSError):
            paths = [path for kind in (ANSWER, PICTURE) for path in self._folder.glob(f"*{kind}")]
        for path in paths:
            with suppress(OSError):  # gone by now
                if path.stat().st_mtime < before:
                    try:
                        found[_first_line_of(path).ref] = None
                    except ValueError:
                        log.error("spooled file unusable", file=path.name)
                        path.rename(path.with_name(path.name + DAMAGED))
        return list(found)

    def _discard(self, ref: SessionRef) -> None:
        paths = [self._path(ref, kind) for kind in (ANSWER, PICTURE)]
        for path in paths:
            self._unwritten.pop(path, None)
        for path in paths:
            path.unlink(missing_ok=True)

    def _sweep(self, before: float) -> int:
        swept = 0
        for path in [path for kind in (UNFINISHED, DAMAGED) for path in self._folder.glob(f"*{kind}")]:
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # another process sweeps too, or has just finished with it
            except OSError as error:
                log.warning("spooled file not deleted", file=path.name, reason=type(error).__name__)
        return swept

    def _path(self, ref: SessionRef, kind: str) -> Path:
        """Session ids are UUIDs; making one of it again leaves nothing that a path could be built with."""
        return self._folder / f"{ref.channel.value}-{uuid.UUID(ref.session_id)}{kind}"


def _header(paid: _Paid) -> bytes:
    header = _Header(
        channel=paid.ref.channel,
        owner_id=paid.ref.owner_id,
        session_id=paid.ref.session_id,
        usage=paid.usage,
        model=paid.model,
        sha256=_sha256(paid.data),
    )
    return header.model_dump_json().encode()


def _load(path: Path, ref: SessionRef) -> _Paid:
    line, _, data = path.read_bytes().partition(b"\n")
    header = _Header.model_validate_json(line)
    if header.ref != ref:
        raise ValueError("another session's")
    if header.sha256 != _sha256(data):
        raise ValueError("damaged")
    return _Paid(ref, data, header.usage, header.model)


def _first_line_of(path: Path) -> _Header:
    with path.open("rb") as file:
        return _Header.model_validate_json(file.readline(MAX_HEADER_BYTES))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    """Bring the file's name to the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
