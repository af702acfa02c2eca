"""What was paid for, on disk until the platform has it, so that no crash on this machine makes us pay again.

First the image model's answer as it came, before anything else can go wrong with it; then the finished picture, where
the answer only points to it, for an hour. Each is a file of the session's: a line of JSON that says whose it
is and what it took, then the bytes. A file appears under its name only when all of it is on the disk, and one that is
damaged all the same counts as absent.

What the disk does not take is held in this process's memory meanwhile, and written when it is asked for.

    SpoolError   it could not be kept (disk full, no permission): the job may go on without; or not be read just now
"""

import asyncio
import hashlib
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import structlog
from pydantic import BaseModel

from wearon.platform.base import Channel, SessionRef
from wearon.shortage import is_shortage
from wearon.tryon.generator import GeneratedImage, Usage

log = structlog.get_logger()

ANSWER = ".answer"
PICTURE = ".picture"
UNFINISHED = ".new"
DAMAGED = ".damaged"

MAX_HEADER_BYTES = 4096
"""Of a file's first line; ours have 300."""


MOST_IN_MEMORY_BYTES = 64 * 1024 * 1024
"""Of what the disk did not take: some twenty answers. The oldest go first."""


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
        """Whose it is."""
        return SessionRef(self.channel, self.owner_id, self.session_id)


class KeptAnswer(NamedTuple):
    """An answer as it came, and the image model that gave it (None: an earlier version did not say)."""

    body: bytes
    model: str | None


class Spool:
    """Keeps both in `folder`, which several processes may share. All disk work is off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unwritten: OrderedDict[Path, bytes] = OrderedDict()
        """Contents of files that could not be written."""

    async def save_answer(self, ref: SessionRef, answer: bytes, model: str | None = None) -> None:
        """Keep the model's answer, through a power cut too; raises SpoolError."""
        await self._keep(ref, ANSWER, answer, None, model)

    async def load_answer(self, ref: SessionRef) -> KeptAnswer | None:
        """The session's answer; None when there is none, or none that can be used."""
        found = await self._find(ref, ANSWER)
        return found and KeptAnswer(found[0], found[1].model)

    async def save(self, ref: SessionRef, image: GeneratedImage) -> None:
        """Keep the picture, through a power cut too; raises SpoolError."""
        await self._keep(ref, PICTURE, image.jpeg, image.usage, image.model)

    async def load(self, ref: SessionRef) -> GeneratedImage | None:
        """The session's picture; None when there is none, or none that can be used."""
        found = await self._find(ref, PICTURE)
        return found and GeneratedImage(found[0], found[1].usage, model=found[1].model)

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

    async def left_behind(self, older_than: timedelta) -> Sequence[SessionRef]:
        """The sessions for which something has been kept for longer than that.

        A file that does not say readably whose it is is put aside, until `sweep`: its session must not wait for it.
        """
        return await asyncio.to_thread(self._left_behind, time.time() - older_than.total_seconds())

    async def sweep(self, older_than: timedelta) -> int:
        """Delete the remains of interrupted saves and damaged files older than that; returns how many files.

        What was paid for is never deleted by age: `discard` it once its session is final.
        """
        return await asyncio.to_thread(self._sweep, time.time() - older_than.total_seconds())

    async def _keep(self, ref: SessionRef, kind: str, data: bytes, usage: Usage | None, model: str | None) -> None:
        try:
            path = self._path(ref, kind)
            content = await asyncio.to_thread(_content, ref, data, usage, model)
        except ValueError as error:
            raise SpoolError(f"the {kind[1:]} could not be kept: {error}") from error
        try:
            await asyncio.to_thread(self._write, path, content)
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread could be started
            self._hold(path, content)
            raise SpoolError(f"the {kind[1:]} could not be kept on disk: {error}") from error
        self._unwritten.pop(path, None)

    def _hold(self, path: Path, content: bytes) -> None:
        self._unwritten[path] = content
        self._unwritten.move_to_end(path)
        while sum(map(len, self._unwritten.values())) > MOST_IN_MEMORY_BYTES:
            self._unwritten.popitem(last=False)

    async def _find(self, ref: SessionRef, kind: str) -> tuple[bytes, _Header] | None:
        try:
            return await asyncio.to_thread(self._load, ref, kind)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if is_shortage(error):  # it says nothing about the file, and what was paid for is not paid again for that
                raise SpoolError(f"the {kind[1:]} cannot be read at the moment") from error
            log.error("spooled file unusable", kind=kind, session_id=ref.session_id, reason=type(error).__name__)
            return None

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Readable for us alone, like every file made this way.
        with NamedTemporaryFile(dir=self._folder, suffix=UNFINISHED, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        _sync(self._folder)

    def _load(self, ref: SessionRef, kind: str) -> tuple[bytes, _Header]:
        path = self._path(ref, kind)
        content = self._unwritten.get(path)
        if content is None:
            content = path.read_bytes()
        else:
            with suppress(OSError):
                self._write(path, content)
                self._unwritten.pop(path, None)
        line, _, data = content.partition(b"\n")
        header = _Header.model_validate_json(line)
        if header.ref != ref:
            raise ValueError("another session's")
        if header.sha256 != _sha256(data):
            raise ValueError("damaged")
        return data, header

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


def _content(ref: SessionRef, data: bytes, usage: Usage | None, model: str | None) -> bytes:
    header = _Header(
        channel=ref.channel,
        owner_id=ref.owner_id,
        session_id=ref.session_id,
        usage=usage,
        model=model,
        sha256=_sha256(data),
    )
    return b"\n".join((header.model_dump_json().encode(), data))


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
