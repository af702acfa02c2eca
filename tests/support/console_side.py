"""The console without its neighbours: a status made by hand, letters and refunds in lists, the app around them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from support.api_services import api_services
from wearon.api.app import create_app
from wearon.api.roles import Access, Role
from wearon.observability.kept_lines import LogLine
from wearon.operations.actions.errors import NotThere
from wearon.operations.dead_letter_groups import BulkStep, Grouping, LetterGroups, group_of
from wearon.operations.incident_model import Cost
from wearon.operations.incidents import KINDS, find_incidents
from wearon.operations.models import (
    FleetStatus,
    HistoryEvent,
    ImageModelUse,
    LedgerLine,
    Minute,
    PictureRef,
    PosePoolStatus,
    Process,
    Queues,
    RefundHistory,
    RefundState,
    RunningJob,
    SessionHistory,
    SessionSummary,
    Spend,
)
from wearon.operations.refund_groups import Refunds
from wearon.operations.session_index import SessionLine, SessionPage, SessionQuery
from wearon.platform.base import Channel
from wearon.queue.audit_log import Action, Actor, AuditEntry
from wearon.queue.dead_letters import DeadLetter
from wearon.refunds.intents import Intent, NeedsReview, Outstanding
from wearon.supervisor import Component

SESSION = "6e0c1a52-5b1e-4a57-9a0b-2f6a3a3f9d11"
HOSTILE = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"


class HandMadeStatus:
    """The same status each time, or an error; counts how often it is read."""

    def __init__(self) -> None:
        self.gathered = 0
        self.change = asyncio.Event()
        self.error: Exception | None = None

    async def read(self) -> FleetStatus:
        self.gathered += 1
        if self.error:
            raise self.error
        return a_status()

    async def wait_for_change(self) -> None:
        self.change.clear()
        await self.change.wait()


class HandMadeSessions:
    """One session; remembers which pictures were asked for."""

    def __init__(self) -> None:
        self.signed: list[tuple[str, str]] = []
        self.error: Exception | None = None

    async def find(self, term: str) -> Sequence[SessionSummary]:
        if self.error:
            raise self.error
        return [a_history().session] if term in {SESSION, "req_1"} else []

    async def read(self, session_id: str) -> SessionHistory | None:
        return a_history() if session_id == SESSION else None

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        self.signed.append((session_id, name))
        return "http://pictures.test/signed" if name == "result" else None


class HandMadeSearch:
    """The same session, in a list."""

    async def page(self, _query: SessionQuery, cursor: str = "", limit: int = 50) -> SessionPage:
        row = a_history().session
        line = SessionLine(
            session_id=row.session_id, at=row.created_at, owner_id=row.owner_id, channel=row.channel, status=row.status
        )
        return SessionPage(sessions=[line][:limit], cursor=cursor)


class HandMadeLetters:
    """The actions on dead letters, over a list."""

    def __init__(self) -> None:
        self.letters = [
            DeadLetter("3fa9c0d1b2e4", "2026-11-24T18:00:00.000+00:00", f"not JSON: {HOSTILE}", HOSTILE),
            DeadLetter("0000aaaa1111", "2026-11-24T17:00:00.000+00:00", "no such session", "{}", SESSION, "req_1"),
        ]
        self.pushed: list[str] = []

    async def list(self, limit: int, skip: int = 0, group: str | None = None) -> Sequence[DeadLetter]:
        found = [letter for letter in self.letters if group in (None, group_of(letter))]
        return found[skip : skip + limit]

    async def groups(self) -> LetterGroups:
        grouping = Grouping()
        for letter in self.letters:
            grouping.add(letter)
        return grouping.result

    async def retry_some(self, group: str | None, by: Actor, passed: int, *, dry_run: bool) -> BulkStep:
        return BulkStep(letters=[], passed=None)

    async def discard_some(self, group: str, by: Actor, passed: int, *, until: str) -> BulkStep:
        return BulkStep(letters=[], passed=None)

    async def find(self, letter_id: str) -> DeadLetter:
        for letter in self.letters:
            if letter.id == letter_id:
                return letter
        raise NotThere(f"there is no dead letter {letter_id}")

    async def retry(self, letter_id: str, by: Actor) -> DeadLetter:
        letter = await self.discard(letter_id, by)
        self.pushed.append(letter_id)
        return letter

    async def discard(self, letter_id: str, by: Actor) -> DeadLetter:
        letter = await self.find(letter_id)
        self.letters.remove(letter)
        return letter


class HandMadeRefunds:
    """One refund outstanding, one for a person."""

    def __init__(self) -> None:
        at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        intent = Intent(Channel.B2C, "owner", SESSION, "req_1", "Internal error during generation", HOSTILE, at)
        self.refunds = Refunds([Outstanding(intent, "ConnectError")], [NeedsReview(intent, "charged as an overage")])

    async def list(self) -> Refunds:
        return self.refunds

    async def settle_now(
        self, by: Actor, session: str | None = None, group: str | None = None, most: int | None = None
    ) -> tuple[Sequence[Intent], Refunds]:
        if session not in (None, SESSION):
            raise NotThere(f"no refund of session {session} is outstanding")
        settled = [case.intent for case in self.refunds.outstanding]
        self.refunds = Refunds([], self.refunds.by_hand)
        return settled, self.refunds

    async def in_review(self, session: str | None = None, group: str | None = None) -> Sequence[NeedsReview]:
        return self.refunds.by_hand

    async def resolve(self, by: Actor, session: str | None = None, group: str | None = None) -> Sequence[Intent]:
        if session not in (None, SESSION):
            raise NotThere(f"no charge of session {session} waits for a person")
        resolved = [case.intent for case in self.refunds.by_hand]
        self.refunds = Refunds(self.refunds.outstanding, [])
        return resolved


class HandMadeAuditLog:
    """Who did what, in a list."""

    def __init__(self) -> None:
        self.noted: list[tuple[Actor, Action, str]] = []

    async def note(self, by: Actor, action: Action, about: str, **_: object) -> None:
        self.noted.append((by, action, about))

    async def read(self, limit: int) -> Sequence[AuditEntry]:
        entries = [AuditEntry(by=by.name, via=by.via, action=action, about=about) for by, action, about in self.noted]
        return entries[::-1][:limit]


class HandMadeConsole:
    """The app, and what stands behind it."""

    def __init__(
        self,
        *,
        local: bool = True,
        token: str | None = None,
        tokens: Mapping[Role, str] = {},
        pool: Any = None,
        producer: Any = None,
    ) -> None:
        """`token` is the operator's."""
        self.status = HandMadeStatus()
        self.sessions = HandMadeSessions()
        self.search = HandMadeSearch()
        self.letters = HandMadeLetters()
        self.refunds = HandMadeRefunds()
        self.audit_log = HandMadeAuditLog()
        self.pool: Any = cast("Any", pool or _NoPool())
        self.services = api_services(
            mode="local" if local else "production",
            pose_pool=self.pool,
            status=self.status,
            wait_for_change=self.status.wait_for_change,
            sessions=self.sessions,
            search=self.search,
            dead_letters=self.letters,
            refunds=self.refunds,
            audit_log=self.audit_log,
            picture_origin="http://pictures.test",
            local_platform=object() if local else None,
            producer=producer,
        )
        operators = {Role.OPERATOR: token} if token else {}
        self.app = create_app(self.services, Access({**operators, **tokens}))


class _NoPool:
    processes = warm = 1
    waiting = 0
    expected_wait_s = 0.0
    ready = True

    def place(self, _function: object) -> AbstractContextManager[None]:
        return nullcontext()


def a_status() -> FleetStatus:
    """A busy afternoon."""
    at = datetime.now(UTC)
    minutes = [
        Minute(
            at=(at - timedelta(minutes=59 - i)).replace(second=0, microsecond=0),
            completed=max(0, 6 + (i * 7) % 9 - (4 if 20 < i < 27 else 0)),
            failed=(2 if 21 < i < 26 else int(i % 11 == 0)),
            put_back=int(i % 17 == 0),
            refunded=int(i % 11 == 0),
            openai_calls=8 + i % 5,
            openai_s=(8 + i % 5) * (24 + 8 * ((i * 13) % 7) / 7 + (18 if 21 < i < 26 else 0)),
            cost_usd=Decimal("0.41"),
        )
        for i in range(60)
    ]
    fleet = FleetStatus(
        at=at,
        mode="production",
        status="degraded",
        parts=[Component(name=n, state="running") for n in ("consumer", "worker", "api", "lease", "housekeeping")]
        + [Component(name="pose_pool", state="restarting", restarts=2, error="PoseUnavailable: model could not start")],
        queues=Queues(
            tasks=14,
            oldest_task_s=38.4,
            taken=0,
            jobs=23,
            running=20,
            dead_letters=2,
            refunds=1,
            refunds_by_hand=1,
            oldest_refund_s=130.0,
        ),
        running=[
            RunningJob(
                session_id=SESSION if i == 0 else f"{i:08x}-5b1e-4a57-9a0b-2f6a3a3f9d11",
                request_id=f"req_{i}",
                channel="b2b" if i % 2 else "b2c",
                worker="worker-a:7f3c",
                step=["generate", "generate", "photos", "rate_limit", "upload"][i],
                step_s=4.0 * i + 1.5,
                age_s=8.0 * i + 12,
                attempt=1 + int(i == 3),
            )
            for i in range(5)
        ],
        processes=[
            Process(
                worker=f"worker-{name}:7f3c",
                host=f"gen-{name}",
                pid=4200 + n,
                version="0.2.0",
                capacity=20,
                busy=20 - 6 * n,
                beat_age_s=1.2 + n,
                loop_lag_s=0.004 * (1 + 20 * n),
                memory_mb=312.0 + n,
                parts=[Component(name="worker", state="running"), Component(name="lease", state="running")],
            )
            for n, name in enumerate("ab")
        ],
        last_hour=minutes,
        failures_by_reason={"openai": 9, "moderation": 4, "picture": 2},
        openai=ImageModelUse(
            calls=590, p50_s=27.4, p95_s=48.9, requests_per_minute=300, used_last_minute=112, next_slot_in_s=0.0
        ),
        spend_today=Spend(cost_usd=Decimal("187.4213"), pictures=4311, unknown_cost=2),
        pose_pool=PosePoolStatus(processes=2, warm=1, waiting=0, expected_wait_s=0.08),
    )
    fleet.incidents = find_incidents(fleet)
    fleet.problems = [incident.title for incident in fleet.incidents]
    over = KINDS["supabase_rest_away"].incident("Supabase's database does not answer.", at - timedelta(minutes=5))
    ended = {"recovered_at": at - timedelta(minutes=4), "answered_again_at": at - timedelta(minutes=4, seconds=12)}
    fleet.recovered = [over.model_copy(update={**ended, "cost": Cost(retried=12)})]
    return fleet


def a_history() -> SessionHistory:
    """A failure that was refunded, with hostile text wherever text can be."""
    at = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)

    def after(seconds: float) -> datetime:
        return at + timedelta(seconds=seconds)

    return SessionHistory(
        session=SessionSummary(
            session_id=SESSION,
            channel="b2b",
            owner_id="0b2c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10",
            request_id="req_1",
            status="failed",
            created_at=at,
            completed_at=after(64.2),
            error_message="Internal error during generation",
        ),
        credits_used=1,
        processing_time_ms=None,
        where="Failed after two attempts: the image model answered 500 three times.",
        reason=f"openai: server_error {HOSTILE}",
        events=[
            HistoryEvent(at=at, kind="created", title="Session opened, 1 credit taken"),
            HistoryEvent(at=after(0.2), kind="pushed", title="Task pushed"),
            HistoryEvent(at=after(3.1), kind="taken", title="Taken from the queue"),
            HistoryEvent(at=after(3.2), kind="started", title="Attempt 1", worker="worker-a:7f3c", attempt=1),
            HistoryEvent(at=after(3.2), kind="step", title="Start", seconds=0.08, attempt=1),
            HistoryEvent(
                at=after(3.3), kind="step", title="Photos", seconds=0.9, attempt=1, detail="2 pictures, 1.1 MB"
            ),
            HistoryEvent(at=after(4.2), kind="step", title="Generate", seconds=22.4, attempt=1),
            HistoryEvent(at=after(26.6), kind="put_back", title="Retried in 8 s: rate limit"),
            HistoryEvent(at=after(34.9), kind="started", title="Attempt 2", worker="worker-b:7f3c", attempt=2),
            HistoryEvent(at=after(35.0), kind="step", title="Photos", seconds=0.7, attempt=2),
            HistoryEvent(at=after(35.7), kind="step", title="Generate", seconds=28.1, attempt=2, detail=HOSTILE),
            HistoryEvent(at=after(64.2), kind="failed", title="Failed", detail="openai: server_error"),
            HistoryEvent(at=after(64.6), kind="refund", title="Credit refunded", detail="StoreRefund, 1 credit"),
        ],
        refund=RefundHistory(
            state=RefundState.GIVEN_BACK,
            sentence="1 credit was refunded: the ledger says so.",
            evidence=[
                LedgerLine(type="deduction", description="Try-on (shopper=s***@example.com)"),
                LedgerLine(type="refund", description=f"Refund of request req_1 {HOSTILE}"),
            ],
        ),
        log=[
            LogLine(at=after(3.2), level="info", event="step begins", fields={"step": "start"}),
            LogLine(at=after(26.6), level="warning", event="job put back", fields={"why": "rate limit", "in_s": "8"}),
            LogLine(at=after(64.2), level="error", event=HOSTILE, fields={"reason": HOSTILE}),
        ],
        pictures=[
            PictureRef(name="input/0", label="Person", available=True),
            PictureRef(name="input/1", label="Garment", available=False, where="https://cdn.shop.example"),
            PictureRef(name="result", label="Result", available=False),
        ],
    )
