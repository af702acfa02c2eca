"""The local platform's database: one SQLite connection whose transactions take turns, and the errors it can have."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Self

import aiosqlite

from wearon.platform.base import PlatformRefused, PlatformUnavailable

BUSY_SECONDS = 10.0
"""How long a write waits for another process's; theirs take milliseconds, so only a stuck process gets there."""


class LocalDatabase:
    """The database of one folder. Close it: until then, its thread keeps the process alive."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        """Take over an open connection; `open` makes one."""
        self._connection = connection
        self._turn = asyncio.Lock()  # one connection: statements of two transactions must not mix

    @classmethod
    async def open(cls, file: Path) -> Self:
        """Open the file, made with its tables at the first use. Raises PlatformUnavailable."""
        try:
            await asyncio.to_thread(_prepare, file)
            # isolation_level None: the transactions are the ones written here, not some that Python opens by itself.
            connection = await aiosqlite.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise _unavailable("cannot be opened", error) from error
        connection.row_factory = sqlite3.Row
        return cls(connection)

    async def close(self) -> None:
        """End the connection and its thread."""
        await self._connection.close()

    async def rows(self, query: str, *values: object) -> Sequence[sqlite3.Row]:
        """Run a query. Raises PlatformUnavailable."""
        async with self._turn:
            try:
                return list(await self._connection.execute_fetchall(query, values))
            except sqlite3.Error as error:
                raise _unavailable("did not answer", error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """`change` and `insert` within the block take effect together, or not at all. Raises PlatformError."""
        async with self._turn:
            try:
                # Immediate: one that read first and wrote later could not wait its turn, only fail.
                await self._connection.execute("begin immediate")
                yield
                await self._connection.commit()
            except sqlite3.IntegrityError as error:
                raise PlatformRefused(f"the local database refused: {error}") from error
            except sqlite3.Error as error:
                raise _unavailable("did not answer", error) from error
            finally:
                # Nothing to undo after a commit. On errors and cancellation this is queued behind the statement
                # that may still be running in the connection's thread.
                await self._connection.rollback()

    async def change(self, statement: str, *values: object) -> bool:
        """Run a statement within a transaction; whether it changed one row."""
        cursor = await self._connection.execute(statement, values)
        return cursor.rowcount == 1

    async def insert(self, table: str, row: dict[str, Any], on_conflict: str = "") -> bool:
        """Insert a row within a transaction; False when `on_conflict` kept a row that was there already."""
        return await self.change(
            f"insert into {table} ({', '.join(row)}) values ({marks(row)}) {on_conflict}",  # noqa: S608
            *row.values(),
        )


def marks(values: Iterable[object]) -> str:
    """One placeholder for each value."""
    return ", ".join("?" for _ in values)


def _unavailable(what: str, error: sqlite3.Error) -> PlatformUnavailable:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return PlatformUnavailable("the local database cannot be written: the disk is full")
    return PlatformUnavailable(f"the local database {what}: {error}")


def _make_private(file: Path) -> None:
    """Make the file readable for this user alone, and the files beside it that earlier versions left to the umask."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        with suppress(FileNotFoundError):
            each.chmod(0o600)


def _prepare(file: Path) -> None:
    schema = Path(__file__).with_name("schema.sql").read_text("utf-8")
    with os.fdopen(os.open(file.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        # One process at a time: a switch to WAL beside another process's fails at once, whatever the busy time-out.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_private(file)
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as database:
            database.execute("pragma journal_mode = wal")  # readers need not wait for writers
            database.executescript(schema)
