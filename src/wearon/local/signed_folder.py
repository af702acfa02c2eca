"""A folder whose files are handed out through URLs that expire: what Supabase Storage is to production."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

KEY_BYTES = 32  # as long as the SHA-256 that it keys


class SignedFolder:
    """Files below `folder`, named by relative POSIX paths and reached at `{public_url}/files/{path}?...`."""

    def __init__(self, folder: Path, key: bytes, public_url: str, clock: Callable[[], float]) -> None:
        """`clock` gives the present as seconds since 1970."""
        self._folder = folder.resolve()
        self._key = key
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    async def write(self, path: str, content: bytes) -> None:
        """Put `content` at `path`, whole or not at all, whatever was there before. Raises OSError."""
        target = self._inside(path)
        if target is None:
            raise ValueError(f"{path!r} leads out of the folder")
        await asyncio.to_thread(write_atomically, target, content)

    async def has(self, path: str) -> bool:
        """Whether there is a file at `path`."""
        target = self._inside(path)
        return target is not None and await asyncio.to_thread(target.is_file)

    async def list(self, folder: str) -> Sequence[tuple[str, float | None]]:
        """Names right in `folder`: folders (None), then files, the oldest first, by when each was written (since 1970).

        What is neither is left out, links too. Raises OSError.
        """
        target = self._inside(folder)
        return [] if target is None else await asyncio.to_thread(_entries, target)

    async def delete(self, paths: Iterable[str]) -> int:
        """Delete files; how many were there. What lies outside of the folder, or is none, stays. Raises OSError."""
        targets = [self._folder / path for path in paths if self._inside(path)]
        return await asyncio.to_thread(lambda: sum(map(_unlink, targets)))

    def sign(self, path: str, lifetime: int) -> str:
        """A URL that opens the file for `lifetime` seconds."""
        expires = int(self._clock()) + lifetime
        return f"{self._public_url}/files/{quote(path)}?expires={expires}&signature={self._signature(path, expires)}"

    def path_of(self, url: str) -> str | None:
        """The path in a URL of ours, whether or not it is still good; None for another's."""
        prefix = f"{self._public_url}/files/"
        if not url.startswith(prefix):
            # Another process of this folder may have signed it, at its own port.
            named = _signed_path(url)
            return named[0] if named and self._is_genuine(*named) else None
        path = unquote(url.removeprefix(prefix).partition("?")[0].partition("#")[0])
        return path if self._inside(path) else None

    def file_of(self, url: str) -> Path | None:
        """The file that a signed URL opens, at whichever process of this machine: they share the folder."""
        named = _signed_path(url)
        return self.read_signed(*named) if named else None

    def read_signed(self, path: str, expires: int, signature: str) -> Path | None:
        """The file that a signed URL names; None when it is expired, altered or gone."""
        if not self._is_genuine(path, expires, signature) or expires <= self._clock():
            return None
        target = self._inside(path)
        return target if target is not None and target.is_file() else None

    def _is_genuine(self, path: str, expires: int, signature: str) -> bool:
        return hmac.compare_digest(self._signature(path, expires).encode(), signature.encode())

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._key, f"{expires}\n{path}".encode(), hashlib.sha256).hexdigest()

    def _inside(self, path: str) -> Path | None:
        if "\0" in path or PurePosixPath(path).is_absolute():
            return None
        target = (self._folder / path).resolve()  # follows links and dots, so what it names is what is checked
        return target if target.is_relative_to(self._folder) and target != self._folder else None


def _signed_path(url: str) -> tuple[str, int, str] | None:
    """Path, expiry and signature in a URL of a process of this machine; None for any other."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "http" or not (host == "localhost" or ip_address(host).is_loopback):
            return None
        query = parse_qs(parts.query)
        named = (unquote(parts.path.removeprefix("/files/")), int(query["expires"][0]), query["signature"][0])
    except (ValueError, KeyError):
        return None
    return named if parts.path.startswith("/files/") else None


def _entries(folder: Path) -> Sequence[tuple[str, float | None]]:
    folders: list[tuple[str, None]] = []
    files: list[tuple[str, float]] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.name, None))
                elif entry.is_file(follow_symlinks=False):
                    files.append((entry.name, entry.stat().st_mtime))
    return [*sorted(folders), *sorted(files, key=lambda file: file[1])]


def _unlink(file: Path) -> bool:
    if file.is_dir() and not file.is_symlink():
        return False
    try:
        file.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part."""
    _make_private_folder(target.parent)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".unfinished-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _make_private_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, whose modes `mkdir` would leave to the umask."""
    if not folder.is_dir():
        _make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def load_or_create_key(file: Path) -> bytes:
    """The signing key kept in `file`, made at the first use; safe when several processes start at once."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes()
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".unfinished-")  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(secrets.token_bytes(KEY_BYTES))
            new.flush()
            os.fsync(new.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)  # unlike a rename, it lets the first process win
    finally:
        temporary.unlink()
    return file.read_bytes()
