"""The platform on one machine: SQLite for sessions and credits, a folder for pictures. For trying the worker out.

Same tables, status machine, ledgers and refund rules as production; several processes may have it open at once.
Below its home folder lie `platform.sqlite3`, `pictures/` and `signing.key`.
"""

import asyncio
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from wearon.local.credits import LocalCredits, account_of, canonical
from wearon.local.database import LocalDatabase, marks
from wearon.local.home import claim
from wearon.local.signed_folder import SignedFolder, load_or_create_key
from wearon.platform.base import (
    LOOK_URL_SECONDS,
    MAX_PICTURE_BYTES,
    PICTURE_URL_SECONDS,
    Channel,
    LedgerEntry,
    Listed,
    PlatformRefused,
    PlatformUnavailable,
    Refund,
    RefundedAtOnce,
    Session,
    SessionRef,
    Status,
)
from wearon.platform.picture_paths import check_deletable
from wearon.platform.session_moves import SessionMoves
from wearon.platform.session_rows import SESSION_TABLES, as_uuid, needs_result, read_session, timestamp

DEMO_USER_ID = "00000000-0000-4000-8000-0000000000c2"
DEMO_STORE_ID = "00000000-0000-4000-8000-0000000000b2"

SIGNING_KEY = "signing.key"
"""File in the home folder with the key for signed URLs."""

UPLOAD_URL_SECONDS = 7 * 24 * 3600
"""A task may lie in the queue over a weekend on a machine that is switched off."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

UPLOAD_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class LocalPlatform(SessionMoves):
    """`Platform` on SQLite and a folder, with what producers and the file route need besides.

    Close it: until then, the database's thread keeps the process alive.
    """

    def __init__(self, database: LocalDatabase, pictures: SignedFolder, clock: Callable[[], float]) -> None:
        """Take over what `open` has made."""
        self._database = database
        self._credits = LocalCredits(database, self._now)
        self._pictures = pictures
        self._clock = clock

    @classmethod
    async def open(cls, home: Path, public_url: str, *, clock: Callable[[], float] = time.time) -> "LocalPlatform":
        """Open the platform that lives in `home`, made at the first use.

        `public_url` is where the API serves `/files/...`; `clock` gives seconds since 1970. Raises
        PlatformUnavailable when the database cannot be opened, OSError when the folder cannot be written.
        """
        pictures = home / "pictures"
        await asyncio.to_thread(_make_private, home, pictures)
        key = await asyncio.to_thread(load_or_create_key, home / SIGNING_KEY)
        database = await LocalDatabase.open(home / "platform.sqlite3")
        return cls(database, SignedFolder(pictures, key, public_url, clock), clock)

    # Sessions

    async def find_session(self, channel: Channel, session_id: str) -> Session | None:
        table = SESSION_TABLES[channel]
        rows = await self._database.rows(f"select * from {table.name} where id = ?", canonical(session_id))  # noqa: S608
        return read_session(channel, dict(rows[0])) if rows else None

    async def list_sessions(
        self,
        channel: Channel,
        statuses: Sequence[Status],
        created_before: datetime,
        limit: int,
        *,
        created_from: datetime | None = None,
        after: Session | None = None,
    ) -> Sequence[Session]:
        begin = timestamp(created_from) if created_from else ""
        rows = await self._database.rows(
            f"select * from {SESSION_TABLES[channel].name} where status in ({marks(statuses)})"  # noqa: S608
            " and (created_at, id) > (?, ?) and created_at < ? order by created_at, id limit ?",
            *statuses,
            *((timestamp(after.created_at), after.ref.session_id) if after else (begin, "")),
            timestamp(created_before),
            limit,
        )
        return [read_session(channel, dict(row)) for row in rows]

    async def existing_sessions(self, channel: Channel, session_ids: Sequence[str]) -> set[str]:
        rows = await self._database.rows(
            f"select id from {SESSION_TABLES[channel].name} where id in ({marks(session_ids)})",  # noqa: S608
            *session_ids,
        )
        return {row["id"] for row in rows}

    async def search_sessions(self, term: str, limit: int, created_before: datetime | None = None) -> Sequence[Session]:
        found: list[Session] = []
        for channel, table in SESSION_TABLES.items():
            if uuid := as_uuid(term):
                where, values = f"id = ? or {table.owner_column} = ?", (uuid, uuid)
            elif channel is Channel.B2B:
                where, values = "request_id = ? and request_id <> ?", (term, "")
            else:
                continue
            rows = await self._database.rows(
                f"select * from {table.name} where ({where}) and created_at < ?"  # noqa: S608
                " order by created_at desc limit ?",
                *values,
                timestamp(created_before) if created_before else "9999",
                limit,
            )
            found.extend(read_session(channel, dict(row)) for row in rows)
        return sorted(found, key=lambda session: session.created_at, reverse=True)[:limit]

    # Credits

    async def ledger_entries(self, session: Session) -> Sequence[LedgerEntry]:
        return await self._credits.entries(session)

    async def ledgers(self, sessions: Sequence[Session]) -> Mapping[SessionRef, Sequence[LedgerEntry]]:
        return {session.ref: await self._credits.entries(session) for session in sessions}

    async def refunds_naming(self, session: Session) -> Sequence[LedgerEntry]:
        return await self._credits.refunds_naming(session)

    async def give_back(self, refund: Refund) -> bool:
        return await self._credits.give_back(refund)

    async def fail_and_refund(
        self,
        ref: SessionRef,  # noqa: ARG002
        error_message: str,  # noqa: ARG002
        completed_at: datetime,  # noqa: ARG002
        description: str,  # noqa: ARG002
    ) -> RefundedAtOnce | None:
        """Offer no such function: local mode shows the two steps."""
        return None

    # Pictures

    async def check_bucket(self) -> None:
        """A folder takes what fits on the disk."""

    async def store_picture(self, ref: SessionRef, jpeg: bytes) -> None:
        await self._write_picture(ref.picture_path, jpeg)

    async def has_picture(self, ref: SessionRef) -> bool:
        return await self._pictures.has(ref.picture_path)

    async def sign_picture(self, ref: SessionRef) -> str:
        if not await self.has_picture(ref):
            raise PlatformRefused("there is no picture to sign")
        return self._pictures.sign(ref.picture_path, PICTURE_URL_SECONDS)

    def stored_path(self, url: str) -> str | None:
        return self._pictures.path_of(url)

    async def sign_for_a_look(self, path: str) -> str | None:
        return self._pictures.sign(path, LOOK_URL_SECONDS) if await self._pictures.has(path) else None

    # Retention

    async def list_folder(self, folder: str, limit: int, offset: int = 0) -> Sequence[Listed]:
        try:
            return [
                Listed(name, None if changed is None else datetime.fromtimestamp(changed, UTC))
                for name, changed in (await self._pictures.list(folder))[offset : offset + limit]
            ]
        except OSError as error:
            raise PlatformUnavailable(f"the folder of pictures cannot be read: {error.strerror}") from error

    async def delete_pictures(self, paths: Sequence[str]) -> int:
        check_deletable(paths)
        try:
            return await self._pictures.delete(paths)
        except OSError as error:
            raise PlatformUnavailable(f"a picture cannot be deleted: {error.strerror}") from error

    async def needed_results(self, channel: Channel, session_ids: Sequence[str], ended_after: datetime) -> set[str]:
        rows = await self._database.rows(
            f"select id, status, completed_at from {SESSION_TABLES[channel].name}"  # noqa: S608
            f" where id in ({marks(session_ids)})",
            *session_ids,
        )
        return {row["id"] for row in rows if needs_result(dict(row), ended_after)}

    # The platform itself

    async def check(self) -> None:
        await self._database.rows("select id from generation_sessions limit 1")

    async def aclose(self) -> None:
        await self._database.close()

    # What the shop does in production: for the command line and the demo

    async def add_upload(self, picture: bytes, suffix: str) -> str:
        """Keep an input picture and return a URL that opens it for a week. `suffix` is like ".jpg"."""
        if suffix.lower() not in UPLOAD_SUFFIXES:
            raise PlatformRefused(f"{suffix!r} is not one of {', '.join(sorted(UPLOAD_SUFFIXES))}")
        path = f"uploads/photo-{int(self._clock() * 1000)}-{uuid4()}{suffix.lower()}"
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
        owner = canonical(owner_id or (DEMO_STORE_ID if channel is Channel.B2B else DEMO_USER_ID))
        account = account_of(channel, owner, shopper_email)
        session_id = str(uuid4())
        async with self._database.transaction():
            await self._credits.open_account(account)
            await self._credits.take(account, credits)
            row = {"id": session_id, "status": Status.QUEUED, "credits_used": credits, "created_at": self._now()}
            if channel is Channel.B2B:
                payer = f" (shopper={shopper_email})" if shopper_email else ""
                if not await self._credits.write_store_ledger(
                    owner, request_id, -credits, "deduction", f"Try-on{payer}"
                ):
                    raise PlatformRefused(f"request {request_id} has been charged already")
                row |= {"store_id": owner, "request_id": request_id, "shopper_email": shopper_email}
            else:
                await self._credits.write_user_ledger(owner, -credits, "deduction", f"Try-on, session {session_id}")
                row |= {"user_id": owner}
            await self._database.insert(SESSION_TABLES[channel].name, row)
        return read_session(channel, row)

    async def balance(
        self, channel: Channel, *, owner_id: str | None = None, shopper_email: str | None = None
    ) -> int | None:
        """The credits of the demo's owner, another one, or a shopper; None when there is no such account."""
        owner = canonical(owner_id or (DEMO_STORE_ID if channel is Channel.B2B else DEMO_USER_ID))
        account = account_of(channel, owner, shopper_email)
        return await self._credits.balance(account)

    # What the API's file route needs

    def read_signed(self, path: str, expires: int, signature: str) -> Path | None:
        """The file behind a signed URL; None when the URL is expired or altered, or the file gone."""
        return self._pictures.read_signed(path, expires, signature)

    def file_of(self, url: str) -> Path | None:
        """The file behind a signed URL of any process that shares this home; None as for `read_signed`."""
        return self._pictures.file_of(url)

    # Inside

    async def _move(self, ref: SessionRef, allowed: Sequence[Status], changes: Mapping[str, Any]) -> bool:
        table = SESSION_TABLES[ref.channel]
        assignments = ", ".join(f"{column} = ?" for column in changes)
        async with self._database.transaction():
            return await self._database.change(
                f"update {table.name} set {assignments}"  # noqa: S608
                f" where id = ? and {table.owner_column} = ? and status in ({marks(allowed)})",
                *changes.values(),
                canonical(ref.session_id),
                canonical(ref.owner_id),
                *allowed,
            )

    async def _write_picture(self, path: str, picture: bytes) -> None:
        if len(picture) > MAX_PICTURE_BYTES:
            raise PlatformRefused(f"a picture of {len(picture)} bytes is over the limit of {MAX_PICTURE_BYTES}")
        try:
            await self._pictures.write(path, picture)
        except OSError as error:
            why = "the disk is full" if error.errno in FULL else error.strerror
            raise PlatformUnavailable(f"the picture could not be written: {why}") from error

    def _now(self) -> str:
        return timestamp(datetime.fromtimestamp(self._clock(), UTC))


def _make_private(home: Path, pictures: Path) -> None:
    """Make the folders for this user alone."""
    claim(home)
    pictures.mkdir(mode=0o700, exist_ok=True)
    pictures.chmod(0o700)
