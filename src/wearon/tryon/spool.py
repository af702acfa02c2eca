"""Paid pictures on disk until the platform has them, so that no crash on this machine makes us pay again.

One file a session: a line of JSON that says whose picture it is and what it took, then the JPEG. A file appears under
its name only when all of it is on the disk, and one that is damaged all the same counts as absent.

    SpoolError   the picture could not be kept (disk full, no permission): the job may go on without
"""

import asyncio
import hashlib
import os
import time
import uuid
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog
from pydantic import BaseModel

from wearon.platform.base import Channel, SessionRef
from wearon.tryon.generator import GeneratedImage, Usage

log = structlog.get_logger()

FINISHED = ".picture"
UNFINISHED = ".new"


class SpoolError(Exception):
    """The picture could not be kept."""


class _Header(BaseModel):
    """The first line of a file."""

    channel: Channel
    owner_id: str
    session_id: str
    usage: Usage | None
    sha256: str
    """Of the JPEG: a disk that was full or a power cut can leave a file shorter, or with holes."""


class Spool:
    """Keeps finished pictures in `folder`, which several processes may share. All disk work is off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, ref: SessionRef, image: GeneratedImage) -> None:
        """Keep the picture, through a power cut too; raises SpoolError."""
        try:
            await asyncio.to_thread(self._save, ref, image)
        except (OSError, ValueError) as error:
            raise SpoolError(f"the picture could not be kept on disk: {error}") from error

    async def load(self, ref: SessionRef) -> GeneratedImage | None:
        """The session's picture; None when there is none, or none that can be used."""
        try:
            return await asyncio.to_thread(self._load, ref)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("spooled picture unusable", session_id=ref.session_id, reason=type(error).__name__)
            return None

    async def discard(self, ref: SessionRef) -> None:
        """Forget the session's picture, if there is one. What cannot be deleted is left to `sweep`."""
        try:
            await asyncio.to_thread(self._discard, ref)
        except (OSError, ValueError) as error:
            log.warning("spooled picture not deleted", session_id=ref.session_id, reason=type(error).__name__)

    async def sweep(self, older_than: timedelta) -> int:
        """Delete what has lain for longer than that, remains of interrupted saves too; returns how many files."""
        return await asyncio.to_thread(self._sweep, time.time() - older_than.total_seconds())

    def _save(self, ref: SessionRef, image: GeneratedImage) -> None:
        header = _Header(
            channel=ref.channel,
            owner_id=ref.owner_id,
            session_id=ref.session_id,
            usage=image.usage,
            sha256=_sha256(image.jpeg),
        )
        path = self._path(ref)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Readable for us alone, like every file made this way.
        with NamedTemporaryFile(dir=self._folder, suffix=UNFINISHED, delete=False) as file:
            try:
                file.writelines((header.model_dump_json().encode(), b"\n", image.jpeg))
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        _sync(self._folder)

    def _load(self, ref: SessionRef) -> GeneratedImage | None:
        line, _, jpeg = self._path(ref).read_bytes().partition(b"\n")
        header = _Header.model_validate_json(line)
        if SessionRef(header.channel, header.owner_id, header.session_id) != ref:
            raise ValueError("another session's picture")
        if header.sha256 != _sha256(jpeg):
            raise ValueError("the picture is damaged")
        return GeneratedImage(jpeg, header.usage)

    def _discard(self, ref: SessionRef) -> None:
        self._path(ref).unlink(missing_ok=True)

    def _sweep(self, before: float) -> int:
        swept = 0
        for path in [*self._folder.glob(f"*{FINISHED}"), *self._folder.glob(f"*{UNFINISHED}")]:
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # another process sweeps too, or has just finished with it
            except OSError as error:
                log.warning("spooled picture not deleted", file=path.name, reason=type(error).__name__)
        return swept

    def _path(self, ref: SessionRef) -> Path:
        """Session ids are UUIDs; making one of it again leaves nothing that a path could be built with."""
        return self._folder / f"{ref.channel.value}-{uuid.UUID(ref.session_id)}{FINISHED}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    """Bring the file's name to the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
