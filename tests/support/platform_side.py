"""The rest of the platform, as adapter tests play it: who sells generations, watches sessions and opens pictures.

The same words for `LocalPlatform` and for `SupabasePlatform`, so that one suite holds both to the same behaviour.
"""

import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4

import httpx

from support.postgrest import Supabase
from wearon.local.platform import LocalPlatform
from wearon.platform.base import Channel, Platform, SessionRef, Status

BALANCE = 10
"""What every account that a test opens holds at first."""


PICTURE = b"\xff\xd8\xff a picture \xff\xd9"


class PlatformSide(ABC):
    """Sells, watches and counts behind the worker's back; `platform` is what is tested."""

    platform: Platform

    @abstractmethod
    def sql(self, query: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Run SQL past the adapter; placeholders are %s."""

    @abstractmethod
    def open(self, url: str) -> bytes | None:
        """What a browser gets for a signed URL; None when it is turned away."""

    @abstractmethod
    def let_pass(self, seconds: float) -> None:
        """Move on the clock of those who check signed URLs."""

    @abstractmethod
    def put(self, path: str, *, age: timedelta = timedelta(0)) -> str:
        """Put something at any path of the storage, past the adapter, as if it were that old; gives the path back."""

    @abstractmethod
    def paths(self) -> set[str]:
        """All that the storage holds."""

    def add_session(
        self,
        channel: Channel,
        status: Status = Status.QUEUED,
        *,
        owner_id: str | None = None,
        created_at: datetime | None = None,
        request_id: str | None = None,
        credits_used: int = 1,
    ) -> SessionRef:
        """Put a session row there."""
        ref = SessionRef(channel, owner_id or str(uuid4()), str(uuid4()))
        values = [ref.session_id, ref.owner_id, status.value, created_at or datetime.now(UTC), credits_used]
        if channel is Channel.B2C:
            self.sql(
                "insert into generation_sessions (id, user_id, status, created_at, credits_used)"
                " values (%s, %s, %s, %s, %s)",
                values,
            )
        else:
            self.sql(
                "insert into store_generation_sessions"
                " (id, store_id, status, created_at, credits_used, request_id) values (%s, %s, %s, %s, %s, %s)",
                [*values, request_id],
            )
        return ref

    def row(self, ref: SessionRef) -> dict[str, Any]:
        """The session row as it stands."""
        if ref.channel is Channel.B2C:
            return self.sql("select * from generation_sessions where id = %s", [ref.session_id])[0]
        return self.sql("select * from store_generation_sessions where id = %s", [ref.session_id])[0]

    def status(self, ref: SessionRef) -> str:
        """The session's status."""
        return str(self.row(ref)["status"])

    def add_user(self) -> str:
        """A user with credits."""
        user_id = str(uuid4())
        self.sql("insert into user_credits (user_id, balance) values (%s, %s)", [user_id, BALANCE])
        return user_id

    def add_store(self, shopper_email: str | None = None) -> str:
        """A store with credits, and so a shopper of it when one is named."""
        store_id = str(uuid4())
        self.sql("insert into store_credits (store_id, balance) values (%s, %s)", [store_id, BALANCE])
        if shopper_email is not None:
            self.sql(
                "insert into store_shopper_credits (store_id, shopper_email, balance) values (%s, %s, %s)",
                [store_id, shopper_email, BALANCE],
            )
        return store_id

    def user_balance(self, user_id: str) -> int:
        """The user's credits."""
        return int(self.sql("select balance from user_credits where user_id = %s", [user_id])[0]["balance"])

    def store_balance(self, store_id: str) -> int:
        """The store's credits."""
        return int(self.sql("select balance from store_credits where store_id = %s", [store_id])[0]["balance"])

    def shopper_balance(self, store_id: str, shopper_email: str) -> int:
        """The shopper's credits at the store."""
        query = "select balance from store_shopper_credits where store_id = %s and shopper_email = %s"
        return int(self.sql(query, [store_id, shopper_email])[0]["balance"])

    def write_store_ledger(
        self, store_id: str, request_id: str, kind: str, description: str | None, amount: int = 1
    ) -> None:
        """Add a row to the stores' ledger."""
        self.sql(
            "insert into store_credit_transactions (store_id, request_id, amount, type, description, created_at)"
            " values (%s, %s, %s, %s, %s, %s)",
            [store_id, request_id, amount, kind, description, datetime.now(UTC)],
        )

    def write_user_ledger(self, user_id: str, kind: str, description: str | None, amount: int = 1) -> None:
        """Add a row to the users' ledger."""
        self.sql(
            "insert into credit_transactions (user_id, amount, type, description, created_at)"
            " values (%s, %s, %s, %s, %s)",
            [user_id, amount, kind, description, datetime.now(UTC)],
        )

    def store_refunds(self, store_id: str) -> list[tuple[str, int, str]]:
        """The store's refunds: request, amount, description."""
        query = (
            "select request_id, amount, description from store_credit_transactions"
            " where store_id = %s and type = 'refund'"
        )
        return [(row["request_id"], row["amount"], row["description"]) for row in self.sql(query, [store_id])]

    def user_refunds(self, user_id: str) -> list[tuple[int, str]]:
        """The user's refunds: amount, description."""
        query = "select amount, description from credit_transactions where user_id = %s and type = 'refund'"
        return [(row["amount"], row["description"]) for row in self.sql(query, [user_id])]


class LocalSide(PlatformSide):
    """Behind a LocalPlatform in `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._passed = 0.0

    async def start(self) -> None:
        """Make the platform, which makes the tables."""
        self.local = await LocalPlatform.open(self._home, "http://127.0.0.1:8000", clock=self._clock)
        self.platform = self.local
        self._database = sqlite3.connect(self._home / "platform.sqlite3", timeout=10)
        self._database.row_factory = sqlite3.Row

    async def stop(self) -> None:
        """Close what was opened."""
        self._database.close()
        await self.local.aclose()

    def sql(self, query: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        with self._database:
            cursor = self._database.execute(query.replace("%s", "?"), [_for_sqlite(value) for value in values])
            return [dict(row) for row in cursor.fetchall()]

    def open(self, url: str) -> bytes | None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        path = unquote(parts.path).removeprefix("/files/")
        file = self.local.read_signed(path, int(query["expires"][0]), query["signature"][0])
        return None if file is None else file.read_bytes()

    def let_pass(self, seconds: float) -> None:
        self._passed += seconds

    def put(self, path: str, *, age: timedelta = timedelta(0)) -> str:
        file = self._home / "pictures" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(PICTURE)
        os.utime(file, times=(time.time(), time.time() - age.total_seconds()))
        return path

    def paths(self) -> set[str]:
        folder = self._home / "pictures"
        return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}

    def _clock(self) -> float:
        return time.time() + self._passed


class SupabaseSide(PlatformSide):
    """Behind a SupabasePlatform on a Supabase of the test's own."""

    def __init__(self, supabase: Supabase, platform: Platform) -> None:
        self.supabase = supabase
        self.platform = platform

    def sql(self, query: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        return self.supabase.sql(query, values)

    def open(self, url: str) -> bytes | None:
        answer = httpx.get(url, trust_env=False)
        return answer.content if answer.is_success else None

    def let_pass(self, seconds: float) -> None:
        clock = self.supabase.storage.clock
        self.supabase.storage.clock = lambda: clock() + seconds

    def put(self, path: str, *, age: timedelta = timedelta(0)) -> str:
        storage = self.supabase.storage
        storage.put(path, PICTURE)
        changed_at = storage.clock() - age.total_seconds()
        storage.objects[path] = replace(storage.objects[path], created_at=changed_at, updated_at=changed_at)
        return path

    def paths(self) -> set[str]:
        return set(self.supabase.storage.objects)


def _for_sqlite(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID) else value
