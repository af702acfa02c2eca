"""The platform on one machine: SQLite for sessions and credits, a folder for pictures. For trying the worker out.

Same tables, status machine, ledgers and refund rules as production; several processes may have it open at once.
Below its home folder lie `platform.sqlite3`, `pictures/` and `signing.key`.
"""

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiosqlite

from wearon.platform.base import (
    LOOK_URL_SECONDS,
    MAX_PICTURE_BYTES,
    PICTURE_URL_SECONDS,
    Channel,
    LedgerEntry,
    LedgerEntryType,
    PlatformRefused,
    PlatformUnavailable,
    Refund,
    Session,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.platform.session_moves import SessionMoves
from wearon.platform.session_rows import SESSION_TABLES, UnreadableRow, as_uuid, read_session, timestamp
from wearon.platform.signed_folder import SignedFolder, load_or_create_key

DEMO_USER_ID = "00000000-0000-4000-8000-0000000000c2"
DEMO_STORE_ID = "00000000-0000-4000-8000-0000000000b2"
DEMO_CREDITS = 1000
"""What a demo owner starts with: more than anybody tries out by hand."""

UPLOAD_URL_SECONDS = 7 * 24 * 3600
"""A task may lie in the queue over a weekend on a machine that is switched off."""

UPLOAD_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

BUSY_SECONDS = 10.0
"""How long a write waits for another process's; theirs take milliseconds, so only a stuck process gets there."""


@dataclass(frozen=True, slots=True)
class _Account:
    """Where a balance lies: a table and the columns that name its owner."""

    table: str
    owner: dict[str, str]

    @property
    def where(self) -> str:
        return " and ".join(f"{column} = ?" for column in self.owner)


class LocalPlatform(SessionMoves):
    """`Platform` on SQLite and a folder, with what producers and the file route need besides.

    Close it: until then, the database's thread keeps the process alive.
    """

    def __init__(self, database: aiosqlite.Connection, pictures: SignedFolder, clock: Callable[[], float]) -> None:
        """Use `open`."""
        self._database = database
        self._pictures = pictures
        self._clock = clock
        self._turn = asyncio.Lock()  # one connection: statements of two transactions must not mix

    @classmethod
    async def open(cls, home: Path, public_url: str, *, clock: Callable[[], float] = time.time) -> "LocalPlatform":
        """Open the platform that lives in `home`, made at the first use.

        `public_url` is where the API serves `/files/...`; `clock` gives seconds since 1970. Raises
        PlatformUnavailable when the database cannot be opened, OSError when the folder cannot be written.
        """
        pictures = home / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        key = await asyncio.to_thread(load_or_create_key, home / "signing.key")
        try:
            database = await _open_database(home / "platform.sqlite3")
        except sqlite3.Error as error:
            raise PlatformUnavailable(f"the local database cannot be opened: {error}") from error
        return cls(database, SignedFolder(pictures, key, public_url, clock), clock)

    # Sessions

    async def find_session(self, channel: Channel, session_id: str) -> Session | None:
        """See Platform."""
        table = SESSION_TABLES[channel]
        rows = await self._rows(f"select * from {table.name} where id = ?", _uuid(session_id))  # noqa: S608
        return _session(channel, rows[0]) if rows else None

    async def unfinished_sessions(
        self, created_before: datetime, limit: int, created_from: datetime | None = None
    ) -> Sequence[Session]:
        """See Platform."""
        found: list[Session] = []
        for channel, table in SESSION_TABLES.items():
            rows = await self._rows(
                f"select * from {table.name} where status in ({_marks(table.open_statuses)})"  # noqa: S608
                " and created_at >= ? and created_at < ? order by created_at limit ?",
                *table.open_statuses,
                timestamp(created_from) if created_from else "",
                timestamp(created_before),
                limit,
            )
            found.extend(_session(channel, row) for row in rows)
        return sorted(found, key=lambda session: session.created_at)[:limit]

    async def search_sessions(self, term: str, limit: int) -> Sequence[Session]:
        """See Platform."""
        found: list[Session] = []
        for channel, table in SESSION_TABLES.items():
            if uuid := as_uuid(term):
                where, values = f"id = ? or {table.owner_column} = ?", (uuid, uuid)
            elif channel is Channel.B2B:
                where, values = "request_id = ? and request_id <> ?", (term, "")
            else:
                continue
            rows = await self._rows(
                f"select * from {table.name} where {where} order by created_at desc limit ?",  # noqa: S608
                *values,
                limit,
            )
            found.extend(_session(channel, row) for row in rows)
        return sorted(found, key=lambda session: session.created_at, reverse=True)[:limit]

    # Credits

    async def ledger_entries(self, session: Session) -> Sequence[LedgerEntry]:
        """See Platform."""
        if session.ref.channel is Channel.B2C:
            rows = await self._rows(
                "select type, description from credit_transactions"
                " where user_id = ? and type = 'refund' and instr(description, ?) order by id",
                _uuid(session.ref.owner_id),
                _uuid(session.ref.session_id),
            )
        elif session.request_id is None:
            rows = []
        else:
            rows = await self._rows(
                f"select type, description from store_credit_transactions where store_id = ? and request_id = ?"  # noqa: S608
                f" and type in ({_marks(LedgerEntryType)}) order by id",
                _uuid(session.ref.owner_id),
                session.request_id,
                *LedgerEntryType,
            )
        return [LedgerEntry(LedgerEntryType(row["type"]), row["description"] or "") for row in rows]

    async def give_back(self, refund: Refund) -> bool:
        """See Platform."""
        async with self._transaction():
            if isinstance(refund, UserRefund):
                await self._write_user_ledger(refund.user_id, refund.amount, "refund", refund.description)
            elif not await self._write_store_ledger(
                refund.store_id, refund.request_id, refund.amount, "refund", refund.description
            ):
                return False
            if not await self._add_credits(_account_of(refund), refund.amount):
                raise PlatformRefused("there is no such credit account")
        return True

    # Pictures

    async def store_picture(self, ref: SessionRef, jpeg: bytes) -> None:
        """See Platform."""
        await self._write_picture(ref.picture_path, jpeg)

    async def has_picture(self, ref: SessionRef) -> bool:
        """See Platform."""
        return await self._pictures.has(ref.picture_path)

    async def sign_picture(self, ref: SessionRef) -> str:
        """See Platform."""
        if not await self.has_picture(ref):
            raise PlatformRefused("there is no picture to sign")
        return self._pictures.sign(ref.picture_path, PICTURE_URL_SECONDS)

    def stored_path(self, url: str) -> str | None:
        """See Platform."""
        return self._pictures.path_of(url)

    async def sign_for_a_look(self, path: str) -> str | None:
        """See Platform."""
        return self._pictures.sign(path, LOOK_URL_SECONDS) if await self._pictures.has(path) else None

    # The platform itself

    async def check(self) -> None:
        """See Platform."""
        await self._rows("select id from generation_sessions limit 1")

    async def aclose(self) -> None:
        """See Platform."""
        await self._database.close()

    # What the shop does in production: for the command line and the demo

    async def add_upload(self, picture: bytes, suffix: str) -> str:
        """Keep an input picture and give back a URL that opens it for a week. `suffix` is like ".jpg"."""
        if suffix.lower() not in UPLOAD_SUFFIXES:
            raise PlatformRefused(f"{suffix!r} is not one of {', '.join(sorted(UPLOAD_SUFFIXES))}")
        path = f"uploads/{uuid4()}{suffix.lower()}"
        await self._write_picture(path, picture)
        return self._pictures.sign(path, UPLOAD_URL_SECONDS)

    async def create_session(
        self,
        channel: Channel,
        *,
        request_id: str,
        credits: int = 1,  # noqa: A002 (the contract's word; the site builtin is nothing to a worker)
        shopper_email: str | None = None,
        owner_id: str | None = None,
    ) -> Session:
        """Take the credits of one generation and open its session, both or neither.

        The owner is the demo's unless `owner_id` says otherwise; one that is missing is made, with DEMO_CREDITS.
        b2b with `shopper_email` is resell mode: the shopper pays. Raises PlatformRefused when credits are
        short or the store's request was charged before.
        """
        owner = _uuid(owner_id or (DEMO_STORE_ID if channel is Channel.B2B else DEMO_USER_ID))
        account = _account(channel, owner, shopper_email)
        session_id = str(uuid4())
        async with self._transaction():
            await self._open_account(account)
            await self._take_credits(account, credits)
            row = {"id": session_id, "status": Status.QUEUED, "credits_used": credits, "created_at": self._now()}
            if channel is Channel.B2B:
                payer = f" (shopper={shopper_email})" if shopper_email else ""
                if not await self._write_store_ledger(owner, request_id, -credits, "deduction", f"Try-on{payer}"):
                    raise PlatformRefused(f"request {request_id} has been charged already")
                row |= {"store_id": owner, "request_id": request_id, "shopper_email": shopper_email}
            else:
                await self._write_user_ledger(owner, -credits, "deduction", f"Try-on, session {session_id}")
                row |= {"user_id": owner}
            await self._insert(SESSION_TABLES[channel].name, row)
        return _session(channel, row)

    async def balance(
        self, channel: Channel, *, owner_id: str | None = None, shopper_email: str | None = None
    ) -> int | None:
        """The credits of the demo's owner, another one, or a shopper; None when there is no such account."""
        owner = _uuid(owner_id or (DEMO_STORE_ID if channel is Channel.B2B else DEMO_USER_ID))
        account = _account(channel, owner, shopper_email)
        rows = await self._rows(
            f"select balance from {account.table} where {account.where}",  # noqa: S608
            *account.owner.values(),
        )
        return rows[0]["balance"] if rows else None

    # What the API's file route needs

    def read_signed(self, path: str, expires: int, signature: str) -> Path | None:
        """The file behind a signed URL; None when the URL is expired or altered, or the file gone."""
        return self._pictures.read_signed(path, expires, signature)

    # Inside

    async def _move(self, ref: SessionRef, allowed: Sequence[Status], changes: Mapping[str, Any]) -> bool:
        table = SESSION_TABLES[ref.channel]
        assignments = ", ".join(f"{column} = ?" for column in changes)
        async with self._transaction():
            cursor = await self._database.execute(
                f"update {table.name} set {assignments}"  # noqa: S608
                f" where id = ? and {table.owner_column} = ? and status in ({_marks(allowed)})",
                (*changes.values(), _uuid(ref.session_id), _uuid(ref.owner_id), *allowed),
            )
        return cursor.rowcount == 1

    async def _open_account(self, account: _Account) -> None:
        await self._insert(account.table, {**account.owner, "balance": DEMO_CREDITS}, "on conflict do nothing")

    async def _take_credits(self, account: _Account, amount: int) -> None:
        cursor = await self._database.execute(
            f"update {account.table} set balance = balance - ? where {account.where} and balance >= ?",  # noqa: S608
            (amount, *account.owner.values(), amount),
        )
        if cursor.rowcount == 0:
            raise PlatformRefused("not enough credits")

    async def _add_credits(self, account: _Account, amount: int) -> bool:
        cursor = await self._database.execute(
            f"update {account.table} set balance = balance + ? where {account.where}",  # noqa: S608
            (amount, *account.owner.values()),
        )
        return cursor.rowcount == 1

    async def _write_user_ledger(self, user_id: str, amount: int, kind: str, description: str) -> None:
        row = {"user_id": _uuid(user_id), "amount": amount, "type": kind, "description": description}
        await self._insert("credit_transactions", row | {"created_at": self._now()})

    async def _write_store_ledger(
        self, store_id: str, request_id: str, amount: int, kind: str, description: str
    ) -> bool:
        """False when the request has a row of this kind already."""
        row = {
            "store_id": _uuid(store_id),
            "request_id": request_id,
            "amount": amount,
            "type": kind,
            "description": description,
            "created_at": self._now(),
        }
        return await self._insert(
            "store_credit_transactions", row, "on conflict (store_id, request_id, type) do nothing"
        )

    async def _insert(self, table: str, row: dict[str, Any], on_conflict: str = "") -> bool:
        cursor = await self._database.execute(
            f"insert into {table} ({', '.join(row)}) values ({_marks(row)}) {on_conflict}",  # noqa: S608
            tuple(row.values()),
        )
        return cursor.rowcount == 1

    async def _write_picture(self, path: str, picture: bytes) -> None:
        if len(picture) > MAX_PICTURE_BYTES:
            raise PlatformRefused(f"a picture of {len(picture)} bytes is over the limit of {MAX_PICTURE_BYTES}")
        try:
            await self._pictures.write(path, picture)
        except OSError as error:
            raise PlatformUnavailable(f"the picture could not be written: {error.strerror}") from error

    async def _rows(self, query: str, *values: object) -> Sequence[sqlite3.Row]:
        async with self._turn:
            try:
                return list(await self._database.execute_fetchall(query, values))
            except sqlite3.Error as error:
                raise PlatformUnavailable(f"the local database did not answer: {error}") from error

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        async with self._turn:
            try:
                # Immediate: one that read first and wrote later could not wait its turn, only fail.
                await self._database.execute("begin immediate")
                yield
                await self._database.commit()
            except sqlite3.IntegrityError as error:
                raise PlatformRefused(f"the local database refused: {error}") from error
            except sqlite3.Error as error:
                raise PlatformUnavailable(f"the local database did not answer: {error}") from error
            finally:
                # Nothing to undo after a commit. On errors and cancellation this is queued behind the statement
                # that may still be running in the connection's thread.
                await self._database.rollback()

    def _now(self) -> str:
        return timestamp(datetime.fromtimestamp(self._clock(), UTC))


async def _open_database(file: Path) -> aiosqlite.Connection:
    await asyncio.to_thread(_prepare_database, file)
    # isolation_level None: the transactions are the ones written above, not some that Python opens by itself.
    database = await aiosqlite.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
    database.row_factory = sqlite3.Row
    return database


def _prepare_database(file: Path) -> None:
    schema = Path(__file__).with_name("local_schema.sql").read_text("utf-8")
    with file.with_suffix(".lock").open("w") as lock:
        # One process at a time: a switch to WAL beside somebody else's fails at once, whatever the busy time-out.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as database:
            database.execute("pragma journal_mode = wal")  # readers need not wait for writers
            database.executescript(schema)


def _session(channel: Channel, row: sqlite3.Row | dict[str, Any]) -> Session:
    try:
        return read_session(channel, dict(row))
    except UnreadableRow as error:
        raise PlatformRefused(str(error)) from error


def _account(channel: Channel, owner_id: str, shopper_email: str | None = None) -> _Account:
    if channel is Channel.B2C:
        return _Account("user_credits", {"user_id": owner_id})
    if shopper_email is None:
        return _Account("store_credits", {"store_id": owner_id})
    return _Account("store_shopper_credits", {"store_id": owner_id, "shopper_email": shopper_email})


def _account_of(refund: Refund) -> _Account:
    match refund:
        case UserRefund():
            return _account(Channel.B2C, _uuid(refund.user_id))
        case StoreRefund():
            return _account(Channel.B2B, _uuid(refund.store_id))
        case ShopperRefund():
            return _account(Channel.B2B, _uuid(refund.store_id), refund.shopper_email)


def _uuid(text: str) -> str:
    """The one spelling that the tables hold. What is no uuid is refused, as PostgreSQL does."""
    uuid = as_uuid(text)
    if uuid is None:
        raise PlatformRefused("an id is not a uuid")
    return uuid


def _marks(values: Sequence[object] | dict[str, Any] | type[LedgerEntryType]) -> str:
    return ", ".join("?" for _ in values)
