"""The credit ledgers at Supabase, read whole: what was taken and refunded of one session, or of many at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from wearon.platform.base import (
    LEDGERS_AT_ONCE,
    Channel,
    LedgerEntry,
    LedgerEntryType,
    PlatformUnavailable,
    Session,
    SessionRef,
)

if TYPE_CHECKING:
    from postgrest import AsyncQueryRequestBuilder, AsyncSelectRequestBuilder, CountMethod
    from supabase import AsyncClient

MAX_REQUEST_ID = 100
"""Characters of one that is asked for together with others; producers' have 36."""


class SupabaseLedgers(ABC):
    """The three reads of `Platform`; a platform only has to know how to get rows."""

    _client: "AsyncClient"

    async def ledger_entries(self, session: Session) -> Sequence[LedgerEntry]:
        owner_id, request_id = session.ref.owner_id, session.request_id
        if session.ref.channel is Channel.B2C:
            naming = f"%{UUID(session.ref.session_id)}%"  # a uuid has no wildcards
            entries = await self._entries(
                lambda: self._refunds_of_users(exactly()).eq("user_id", owner_id).like("description", naming)
            )
        elif request_id is None:
            return []
        else:
            entries = await self._entries(
                lambda: self._charges_of_stores(exactly()).eq("store_id", owner_id).eq("request_id", request_id)
            )
        return [entry for _, entry in entries]

    async def ledgers(self, sessions: Sequence[Session]) -> Mapping[SessionRef, Sequence[LedgerEntry]]:
        found: dict[SessionRef, Sequence[LedgerEntry]] = {session.ref: () for session in sessions}
        users = [session for session in sessions if session.ref.channel is Channel.B2C]
        if users:
            found |= await self._refunds_of(users)
        stores = [session for session in sessions if 0 < len(session.request_id or "") <= MAX_REQUEST_ID]
        if stores:
            found |= await self._charges_of(stores)
        for session in sessions:
            if len(session.request_id or "") > MAX_REQUEST_ID:
                found[session.ref] = await self.ledger_entries(session)
        return found

    async def _refunds_of(self, sessions: Sequence[Session]) -> dict[SessionRef, Sequence[LedgerEntry]]:
        naming = ",".join(f"description.like.*{UUID(session.ref.session_id)}*" for session in sessions)
        users = {session.ref.owner_id for session in sessions}
        entries = await self._entries(lambda: self._refunds_of_users(exactly()).in_("user_id", users).or_(naming))
        return {
            ref: [
                entry for _, entry in entries if entry.owner_id == ref.owner_id and ref.session_id in entry.description
            ]
            for ref in (session.ref for session in sessions)
        }

    async def _charges_of(self, sessions: Sequence[Session]) -> dict[SessionRef, Sequence[LedgerEntry]]:
        stores = {session.ref.owner_id for session in sessions}
        requests = {session.request_id or "" for session in sessions}
        entries = await self._entries(
            lambda: self._charges_of_stores(exactly()).in_("store_id", stores).in_("request_id", requests)
        )
        return {
            session.ref: [
                entry
                for row, entry in entries
                if (entry.owner_id, row.get("request_id")) == (session.ref.owner_id, session.request_id)
            ]
            for session in sessions
        }

    async def refunds_naming(self, session: Session) -> Sequence[LedgerEntry]:
        stores = self._charges_of_stores().eq("type", LedgerEntryType.REFUND)
        query = stores if session.ref.channel is Channel.B2B else self._refunds_of_users()
        naming = query.like("description", f"%{UUID(session.ref.session_id)}%").limit(LEDGERS_AT_ONCE)
        return [_ledger_entry(row) for row in (await self._counted_rows("read ledger", naming, "read the ledger"))[0]]

    # All columns: the contract names some of each ledger's, and asking for one that is not there is an error. In the
    # order of those that it names, where two rows that take the same place say the same.

    def _refunds_of_users(self, count: "CountMethod | None" = None) -> "AsyncSelectRequestBuilder":
        refunds = self._client.table("credit_transactions").select("*", count=count)
        return refunds.eq("type", LedgerEntryType.REFUND).order("user_id").order("description").order("amount")

    def _charges_of_stores(self, count: "CountMethod | None" = None) -> "AsyncSelectRequestBuilder":
        charges = self._client.table("store_credit_transactions").select("*", count=count)
        return charges.in_("type", tuple(LedgerEntryType)).order("store_id").order("request_id").order("type")

    async def _entries(
        self, ask: Callable[[], "AsyncSelectRequestBuilder"]
    ) -> Sequence[tuple[Mapping[str, Any], LedgerEntry]]:
        """All rows, also where PostgREST's `max-rows` cuts its answers, in as many requests as that takes.

        Raises PlatformUnavailable when they cannot be told: a refund that is only not seen would be made twice.
        """
        rows, there_are = await self._counted_rows("read ledger", ask(), "read the ledger")
        found = list(rows)
        while there_are is not None and len(found) < there_are:
            rows, now = await self._counted_rows("read ledger", ask().offset(len(found)), "read the ledger")
            if not rows or now != there_are:  # what is written meanwhile moves rows from one answer to the next
                raise PlatformUnavailable(f"read ledger: {len(found)} of {there_are} rows are told")
            found += rows
        return [(row, _ledger_entry(row)) for row in found]

    @abstractmethod
    async def _counted_rows(
        self, action: str, query: "AsyncQueryRequestBuilder", asked: str = ...
    ) -> tuple[Sequence[Mapping[str, Any]], int | None]: ...


def exactly() -> "CountMethod":
    """Let PostgREST say how many rows there are, besides those of its answer."""
    from postgrest import CountMethod  # with supabase, a second that local mode saves

    return CountMethod.exact


def _ledger_entry(row: Mapping[str, Any]) -> LedgerEntry:
    amount = row.get("amount")
    try:
        return LedgerEntry(
            LedgerEntryType(row["type"]),
            str(row["description"] or ""),
            str(row.get("user_id") or row.get("store_id") or ""),
            amount if isinstance(amount, int) else None,
        )
    except (KeyError, ValueError):
        raise PlatformUnavailable("read ledger: a row has no known type or no description") from None
