"""The platform in production: Supabase's REST API (PostgREST), its SQL functions and its Storage.

One attempt is one HTTP request, sent once: supabase-py's own retries are switched off, because a request whose
answer was lost may have been carried out, and only the caller knows where to look before asking again.

HTTP/1.1 with pooled keep-alive connections, not HTTP/2: one lost connection then costs one answer and not those
of all the requests that shared it, and an upload of a megabyte is not held up by stream windows.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import structlog

from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.net.service_transport import ServiceTransport
from wearon.net.whole_answers import WholeAnswers
from wearon.observability.tracing import Tracing
from wearon.platform.base import (
    Channel,
    PlatformUnavailable,
    Refund,
    RefundedAtOnce,
    Session,
    SessionRef,
    SessionUnreadable,
    Status,
    UserRefund,
)
from wearon.platform.session_moves import SessionMoves
from wearon.platform.session_rows import SESSION_TABLES, as_uuid, needs_result, place_of, read_session, timestamp
from wearon.platform.supabase_answers import Refusal, raise_for_answer
from wearon.platform.supabase_attempts import Attempts
from wearon.platform.supabase_functions import FAIL_AND_REFUND, NO_SUCH_FUNCTION, OptionalFunction, function_call
from wearon.platform.supabase_ledgers import SupabaseLedgers, exactly
from wearon.platform.supabase_pictures import STORAGE_SECONDS, SupabasePictures
from wearon.platform.supabase_transport import ObservedTransport

if TYPE_CHECKING:
    from postgrest import AsyncQueryRequestBuilder

REST_SECONDS = 10.0
"""Supabase ends a statement after 8 s: an answer that is not here by then is lost, not late."""

CONNECT_SECONDS = 5.0
"""One lost SYN and its first two repetitions (1 s, 3 s)."""

MAX_CONNECTIONS = 50
"""A job waits for OpenAI most of its time and asks the platform one thing at a time; 50 serve hundreds of jobs."""

KEEP_ALIVE_SECONDS = 20.0
"""Well below the 60 s after which gateways hang up: a request into a closing connection is an answer lost."""

UNIQUE_VIOLATION = "23505"

log = structlog.get_logger()


class SupabasePlatform(SupabasePictures, SupabaseLedgers, SessionMoves):
    """`Platform` on a Supabase project, with the service role key."""

    @classmethod
    async def connect(
        cls,
        url: str,
        service_role_key: str,
        *,
        metrics: Metrics,
        tracing: Tracing,
        dependencies: Dependencies,
        rest_seconds: float = REST_SECONDS,
        storage_seconds: float = STORAGE_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
        tls: ssl.SSLContext | None = None,
    ) -> "SupabasePlatform":
        """Make the client. Nothing is sent yet: a platform that is down does not keep the worker from starting."""
        from supabase import AsyncClientOptions, acreate_client  # a second that local mode saves

        connections = ServiceTransport(max_connections=max_connections, keep_alive_s=KEEP_ALIVE_SECONDS, tls=tls)
        http = httpx.AsyncClient(
            timeout=httpx.Timeout(max(rest_seconds, storage_seconds), connect=CONNECT_SECONDS),
            transport=ObservedTransport(WholeAnswers(connections), metrics, tracing),
            trust_env=False,  # a proxy variable or .netrc must not decide where the service role key goes
            event_hooks={"response": [raise_for_answer]},
        )
        options = AsyncClientOptions(
            httpx_client=http,
            postgrest_client_retry=False,  # on by default for reads
            auto_refresh_token=False,
            persist_session=False,
        )
        client = await acreate_client(url, service_role_key, options)
        _ = client.postgrest, client.storage  # made when first used, which would hold up the first job by 40 ms
        attempts = Attempts(dependencies)
        return cls(client, http, url, attempts, rest_seconds=rest_seconds, storage_seconds=storage_seconds)

    @cached_property
    def _fail_and_refund(self) -> OptionalFunction:
        return OptionalFunction()

    # Sessions

    async def find_session(self, channel: Channel, session_id: str) -> Session | None:
        table = SESSION_TABLES[channel]
        query = self._client.table(table.name).select(*table.columns).eq("id", session_id)
        rows = await self._rows("find session", query)
        return read_session(channel, rows[0]) if rows else None

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
        """A row that cannot be read is logged and left out: it must not hide all the others."""
        table = SESSION_TABLES[channel]
        last = (after.created_at, UUID(after.ref.session_id)) if after else None
        while True:
            query = (
                self._client.table(table.name)
                .select(*table.columns)
                .in_("status", table.known(statuses))
                .lt("created_at", timestamp(created_before))
            )
            if begin := last[0] if last else created_from:
                query = query.gte("created_at", timestamp(begin))
            if last:  # rows that a producer writes in one transaction are all of one moment
                query = query.or_(f'created_at.gt."{timestamp(last[0])}",id.gt.{last[1]}')
            rows = await self._rows("list sessions", query.order("created_at").order("id").limit(limit))
            found = list(_readable(channel, rows))
            if found or not rows:
                return found
            last = place_of(rows[-1])  # no page is empty before the last one, or nobody would ask for the next

    async def existing_sessions(self, channel: Channel, session_ids: Sequence[str]) -> set[str]:
        """Sessions that PostgREST leaves out of its answer count as existing."""
        rows, untold = await self._rows_of(channel, session_ids, "id")
        return {str(row.get("id")) for row in rows} | untold

    async def search_sessions(self, term: str, limit: int, created_before: datetime | None = None) -> Sequence[Session]:
        """A row that cannot be read is logged and left out, here too."""
        found: list[Session] = []
        for channel, table in SESSION_TABLES.items():
            query = self._client.table(table.name).select(*table.columns)
            if uuid := as_uuid(term):
                # Nothing but a uuid gets into a filter that has a grammar.
                query = query.or_(f"id.eq.{uuid},{table.owner_column}.eq.{uuid}")
            elif channel is Channel.B2B and term and "\0" not in term:
                query = query.eq("request_id", term)
            else:
                continue
            if created_before is not None:
                query = query.lt("created_at", timestamp(created_before))
            query = query.order("created_at", desc=True).limit(limit)
            found.extend(_readable(channel, await self._rows("search sessions", query)))
        return sorted(found, key=lambda session: session.created_at, reverse=True)[:limit]

    # Credits

    async def give_back(self, refund: Refund) -> bool:
        function, arguments = function_call(refund)
        try:
            async with self._attempts(function, self._rest_seconds):
                await self._client.rpc(function, arguments).execute()
        except Refusal as refusal:
            # The users' ledger has no such key: there, the same code would mean that nothing was refunded.
            if refusal.code == UNIQUE_VIOLATION and not isinstance(refund, UserRefund):
                return False
            raise
        return True

    async def fail_and_refund(
        self, ref: SessionRef, error_message: str, completed_at: datetime, description: str
    ) -> RefundedAtOnce | None:
        """Offered where the operator has installed the function."""
        if self._fail_and_refund.is_absent:
            return None
        arguments = {
            "p_user_id": ref.owner_id,
            "p_session_id": ref.session_id,
            "p_error_message": error_message,
            "p_completed_at": timestamp(completed_at),
            "p_description": description,
        }
        try:
            async with self._attempts(FAIL_AND_REFUND, self._rest_seconds, expected=NO_SUCH_FUNCTION):
                answer = await self._client.rpc(FAIL_AND_REFUND, arguments).execute()
                found = RefundedAtOnce(str(answer.data))
        except Refusal as refusal:
            if refusal.code == NO_SUCH_FUNCTION and self._fail_and_refund.missed():
                return None
            raise
        self._fail_and_refund.seen()
        return found

    # Retention

    async def needed_results(self, channel: Channel, session_ids: Sequence[str], ended_after: datetime) -> set[str]:
        """Sessions that PostgREST leaves out of its answer count as needed."""
        rows, untold = await self._rows_of(channel, session_ids, "id", "status", "completed_at")
        return {str(row.get("id")) for row in rows if needs_result(row, ended_after)} | untold

    # The platform itself

    async def check(self) -> None:
        await self._rows("check", self._client.table("generation_sessions").select("id").limit(1))

    async def aclose(self) -> None:
        await self._http.aclose()

    # Inside

    async def _move(self, ref: SessionRef, allowed: Sequence[Status], changes: Mapping[str, Any]) -> bool:
        table = SESSION_TABLES[ref.channel]
        query = (
            self._client.table(table.name)
            .update(changes)
            .eq("id", ref.session_id)
            .eq(table.owner_column, ref.owner_id)
            .in_("status", allowed)
            .select("id")
        )
        return len(await self._rows(f"session to {changes['status']}", query, "write sessions")) == 1

    async def _rows(
        self, action: str, query: "AsyncQueryRequestBuilder", asked: str = "read sessions"
    ) -> Sequence[Mapping[str, Any]]:
        return (await self._counted_rows(action, query, asked))[0]

    async def _rows_of(
        self, channel: Channel, session_ids: Sequence[str], *columns: str
    ) -> tuple[Sequence[Mapping[str, Any]], set[str]]:
        """Rows of sessions, and the ids of those that PostgREST leaves out although their rows exist.

        PostgREST's `max-rows` may cut an answer, without an error: the others are asked for again.
        """
        found: list[Mapping[str, Any]] = []
        left = set(session_ids)
        while left:
            table = self._client.table(SESSION_TABLES[channel].name)
            query = table.select(*columns, count=exactly()).in_("id", sorted(left))
            rows, there_are = await self._counted_rows("look for sessions", query)
            found += rows
            if there_are == len(rows):  # None: a gateway has taken that out of the answer
                return found, set()
            told = {str(row.get("id")) for row in rows} & left
            if not told:
                return found, left
            left -= told
        return found, left

    async def _counted_rows(
        self, action: str, query: "AsyncQueryRequestBuilder", asked: str = "read sessions"
    ) -> tuple[Sequence[Mapping[str, Any]], int | None]:
        """Rows, and how many there are if the query asks for that."""
        async with self._attempts(action, self._rest_seconds, asked=asked):
            answer = await query.execute()
        rows: object = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise PlatformUnavailable(f"{action}: the answer is not a list of rows")
        return rows, answer.count


def _readable(channel: Channel, rows: Sequence[Mapping[str, Any]]) -> Iterator[Session]:
    for row in rows:
        try:
            yield read_session(channel, row)
        except SessionUnreadable as error:
            log.error("session row is unreadable", session_id=row.get("id"), reason=str(error))
