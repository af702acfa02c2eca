"""Checks of Supabase: tables with their columns, refund functions by signature, the bucket's limits.

Nothing is changed, and no function is run:

- Columns are asked for in selects of no rows; the right to write sessions in an update of a session that cannot exist.
- Functions are looked up in the description that PostgREST gives the service role of its API. What does not stand
  there as we need it (overloads hide each other, and a project may have the description switched off) is asked for
  with one argument more than any function has. PostgREST then finds no such function, runs nothing, and names the
  nearest one that it has.
- Storage tells a bucket's limits. Where old pictures are deleted, it is asked to delete the result of a session that
  cannot exist: names that are not there are passed over, and a missing right is refused all the same.

`wearon.doctor.supabase_verdicts` knows what the answers mean.

`tests/integration/doctor/test_needs.py` holds what is asked for here against what the worker really sends.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from wearon.doctor.clock import ClockReading, http_reading, judge_clock
from wearon.doctor.findings import Finding, Promise, fault, ok
from wearon.doctor.supabase_verdicts import (
    FUNCTIONS,
    MIME_TYPES,
    described_arguments,
    judge_bucket,
    judge_deletion,
    judge_fail_and_refund,
    judge_function,
    judge_key,
    listed,
)
from wearon.platform.base import Channel, SessionRef
from wearon.platform.session_rows import SESSION_TABLES
from wearon.platform.supabase_bucket import BUCKET
from wearon.platform.supabase_functions import FAIL_AND_REFUND, FAIL_AND_REFUND_ARGUMENTS

_WRITTEN = ("processing_time_ms", "input_tokens", "output_tokens", "estimated_cost_usd")
"""Columns of both session tables that are written, read or not."""


def _session_columns(channel: Channel) -> Sequence[str]:
    return tuple(dict.fromkeys((*SESSION_TABLES[channel].columns, *_WRITTEN)))


TABLES: Mapping[str, Sequence[str]] = {
    SESSION_TABLES[Channel.B2C].name: _session_columns(Channel.B2C),
    SESSION_TABLES[Channel.B2B].name: _session_columns(Channel.B2B),
    "credit_transactions": ("user_id", "type", "description"),
    "store_credit_transactions": ("store_id", "request_id", "type", "description"),
}
"""Every column that the worker reads, writes or filters by."""

_CALL = re.compile(r"\b(?P<function>\w++)\((?P<arguments>[^()]*+)\)")
"""How a hint names a function."""

NO_SUCH_ARGUMENT = "zq9"
"""The argument that makes a look-up miss every function. Short, because PostgREST compares whole lists by their letters
to find the nearest. (Should a function really have it, nothing would be written even so: PostgREST runs what GET asks
for in a read-only transaction, and an empty text is no uuid.)"""

NO_SESSION = UUID(int=0)
"""The nil uuid: no row has that id."""

NO_PICTURE = SessionRef(Channel.B2C, str(NO_SESSION), str(NO_SESSION)).picture_path

REQUEST_S = 8.0
"""Supabase ends a statement after 8 s; these take milliseconds."""

LEDGER = {"credit_transactions", "store_credit_transactions"}


class Unreachable(Exception):
    """There is no usable answer; the message is for the finding about Supabase as a whole."""


@dataclass(frozen=True, slots=True)
class Root:
    """The first answer: the description of the API, None when it is not given, and the clock."""

    description: Mapping[str, Any] | None
    clock: ClockReading | None


class SupabaseDoctor:
    """The checks of one project. They share one client and the first answer; the caller closes the client."""

    def __init__(
        self, url: str, service_role_key: str, client: httpx.AsyncClient, *, deletes_pictures: bool = False
    ) -> None:
        """`deletes_pictures`: whether the worker deletes old ones."""
        self._deletes_pictures = deletes_pictures
        self._url = url
        self._key = service_role_key
        self._client = client
        self._turn = asyncio.Lock()
        self._first: Root | Unreachable | None = None

    async def check_project(self) -> AsyncGenerator[Finding, None]:
        """Reached, and with the right key."""
        for finding in judge_key(self._key, time.time()):
            yield finding
        try:
            root = await self._root()
        except Unreachable as error:
            yield fault(
                "supabase",
                f"{error}; tables, functions and bucket were not checked",
                "see SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY, and whether the project is paused",
                Promise.EVERY_TASK_ENDS,
            )
            return
        yield ok("supabase", f"{httpx.URL(self._url).host} answers")
        yield judge_clock("supabase clock", "Supabase", root.clock)

    async def check_tables(self) -> AsyncGenerator[Finding, None]:
        """Sessions and ledgers, with every column that is used."""
        if not await self._is_there():
            return
        for table, columns in TABLES.items():
            yield await self._check_table(table, columns)

    async def check_functions(self) -> AsyncGenerator[Finding, None]:
        """The refund functions, by their arguments."""
        if not await self._is_there():
            return
        description = (await self._root()).description
        for function, arguments in FUNCTIONS.items():
            described = described_arguments(description, function)
            if described is not None and described.fits(arguments):
                yield ok("supabase functions", f"{function}({listed(arguments)})")
                continue
            nearest = await self._nearest(function, arguments)
            yield judge_function(function, described, nearest, is_described=description is not None)
        described = described_arguments(description, FAIL_AND_REFUND)
        fits = described is not None and described.fits(FAIL_AND_REFUND_ARGUMENTS)
        nearest = None if fits else await self._nearest(FAIL_AND_REFUND, FAIL_AND_REFUND_ARGUMENTS)
        yield judge_fail_and_refund(described, nearest, is_described=description is not None)

    async def check_bucket(self) -> AsyncGenerator[Finding, None]:
        """The bucket of the pictures."""
        if not await self._is_there():
            return
        answer = await self._get(f"/storage/v1/bucket/{BUCKET}")
        body = _object(answer)
        if answer.status_code == 200 and "public" in body:
            for finding in judge_bucket(body):
                yield finding
            if self._deletes_pictures:
                yield judge_deletion(await self._delete_nothing())
            return
        missing = "404" in {str(answer.status_code), str(body.get("statusCode"))}
        yield fault(
            "supabase bucket",
            f"there is no {BUCKET}" if missing else f"cannot be looked at ({_said(answer)})",
            f"make a private bucket {BUCKET}: 10 MB, {listed(MIME_TYPES)}" if missing else "see Storage in the project",
            Promise.EVERY_TASK_ENDS,
        )

    async def _check_table(self, table: str, columns: Sequence[str]) -> Finding:
        breaks = Promise.REFUNDED_ONCE if table in LEDGER else Promise.EVERY_TASK_ENDS
        answer = await self._select(table, columns)
        if answer.status_code == 200:
            if table not in LEDGER and (answer := await self._update_nothing(table)).status_code != 200:
                return fault(
                    "supabase tables",
                    f"{table} cannot be written ({_said(answer)})",
                    "grant update to service_role; a database that is read-only or in recovery must be writable first",
                    breaks,
                )
            return ok("supabase tables", f"{table} has its {len(columns)} columns")
        if _object(answer).get("code") != "42703":  # undefined column
            return fault(
                "supabase tables",
                f"{table} cannot be read ({_said(answer)})",
                "make the table, or grant it to service_role; then reload PostgREST's schema cache",
                breaks,
            )
        missing = [column for column in columns if (await self._select(table, [column])).status_code != 200]
        return fault("supabase tables", f"{table} lacks {listed(missing)}", "add what is missing", breaks)

    async def _select(self, table: str, columns: Sequence[str]) -> httpx.Response:
        return await self._get(f"/rest/v1/{table}", {"select": ",".join(columns), "limit": "0"})

    async def _update_nothing(self, table: str) -> httpx.Response:
        """Ask for what each job begins with, for a session that cannot exist."""
        return await self._client.patch(
            f"{self._url}/rest/v1/{table}",
            params={"id": f"eq.{NO_SESSION}", "select": "id"},
            json={"status": "processing"},
            headers={**self._headers(), "Prefer": "return=representation"},
            timeout=REQUEST_S,
        )

    async def _delete_nothing(self) -> str | None:
        """Ask for what retention does, for a picture that cannot exist; the refusal, if it is one."""
        answer = await self._client.request(
            "DELETE",
            f"{self._url}/storage/v1/object/{BUCKET}",
            json={"prefixes": [NO_PICTURE]},
            headers=self._headers(),
            timeout=REQUEST_S,
        )
        return None if answer.status_code == 200 else _said(answer)

    async def _nearest(self, function: str, arguments: frozenset[str]) -> frozenset[str] | None:
        """The arguments of the function of that name that is nearest to ours; None when none is named."""
        asked = {**dict.fromkeys(sorted(arguments), ""), NO_SUCH_ARGUMENT: ""}
        hint = str(_object(await self._get(f"/rest/v1/rpc/{function}", asked)).get("hint") or "")
        found = next((call for call in _CALL.finditer(hint) if call["function"] == function), None)
        return frozenset(name.strip() for name in found["arguments"].split(",") if name.strip()) if found else None

    async def _is_there(self) -> bool:
        """Whether Supabase answers. When it does not, `check_project` has said why."""
        try:
            await self._root()
        except Unreachable:
            return False
        return True

    async def _root(self) -> Root:
        """The first answer, which is asked for once. Raises Unreachable."""
        async with self._turn:
            if self._first is None:
                self._first = await self._ask()
        if isinstance(self._first, Unreachable):
            raise self._first
        return self._first

    async def _ask(self) -> Root | Unreachable:
        asked = datetime.now(UTC)
        try:
            answer = await self._get("/rest/v1/")
        except httpx.HTTPError as error:
            return Unreachable(f"cannot be reached ({type(error).__name__})")
        if answer.status_code == 401:
            return Unreachable(f"refuses the key ({_said(answer)})")
        if answer.status_code >= 500:
            return Unreachable(f"is out of order ({_said(answer)})")
        body = _object(answer)
        return Root(body if "paths" in body else None, http_reading(asked, answer.headers))

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        return await self._client.get(f"{self._url}{path}", params=query, headers=self._headers(), timeout=REQUEST_S)

    def _headers(self) -> Mapping[str, str]:
        return {"apikey": self._key, "Authorization": f"Bearer {self._key}"}


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _said(answer: httpx.Response) -> str:
    """Status, code and message of a refusal; `details` and `hint` may quote rows and are left out."""
    body = _object(answer)
    code, message = str(body.get("code") or body.get("error") or ""), str(body.get("message") or "")
    return ": ".join(part for part in (f"{answer.status_code} {code}".strip(), message[:200]) if part)
