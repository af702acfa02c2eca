"""The console without its neighbours: an overview made by hand, letters and refunds in lists, the app around them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from wearon.api.app import create_app
from wearon.api.console.parts import ConsoleParts
from wearon.api.health import Health
from wearon.api.parts import ApiParts
from wearon.overview.models import (
    LedgerLine,
    LogLine,
    Minute,
    Now,
    OpenAINow,
    PartNow,
    PictureRef,
    PosePoolNow,
    ProcessNow,
    QueuesNow,
    RefundState,
    RefundStory,
    RunningJob,
    SessionStory,
    SessionSummary,
    SpendNow,
    StoryEvent,
)
from wearon.platform.base import Channel
from wearon.redis import connect
from wearon.tryon.dead_letters import DeadLetter
from wearon.tryon.desk import NotThere, Refunds
from wearon.tryon.refund_intents import Intent, NeedsAPerson, Outstanding

SESSION = "6e0c1a52-5b1e-4a57-9a0b-2f6a3a3f9d11"
HOSTILE = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"


class HandMadeOverview:
    """Answers what a test puts in; counts what it is asked."""

    def __init__(self) -> None:
        self.gathered = 0
        self.signed: list[tuple[str, str]] = []
        self.change = asyncio.Event()
        self.error: Exception | None = None

    async def now(self) -> Now:
        self.gathered += 1
        if self.error:
            raise self.error
        return a_now()

    async def find_sessions(self, term: str) -> Sequence[SessionSummary]:
        if self.error:
            raise self.error
        return [a_story().session] if term in {SESSION, "req_1"} else []

    async def story(self, session_id: str) -> SessionStory | None:
        return a_story() if session_id == SESSION else None

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        self.signed.append((session_id, name))
        return "http://pictures.test/signed" if name == "result" else None

    async def wait_for_change(self, timeout_s: float) -> None:
        self.change.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self.change.wait()
        except TimeoutError:
            pass


class HandMadeLetters:
    """The desk's words over a list."""

    def __init__(self) -> None:
        self.letters = [
            DeadLetter("3fa9c0d1b2e4", "2026-11-24T18:00:00.000+00:00", f"not JSON: {HOSTILE}", HOSTILE),
            DeadLetter("0000aaaa1111", "2026-11-24T17:00:00.000+00:00", "no such session", "{}", SESSION, "req_1"),
        ]
        self.pushed: list[str] = []

    async def list(self, limit: int) -> Sequence[DeadLetter]:
        return self.letters[:limit]

    async def find(self, letter_id: str) -> DeadLetter:
        for letter in self.letters:
            if letter.id == letter_id:
                return letter
        raise NotThere(f"there is no dead letter {letter_id}")

    async def retry(self, letter_id: str) -> DeadLetter:
        letter = await self.discard(letter_id)
        self.pushed.append(letter_id)
        return letter

    async def discard(self, letter_id: str) -> DeadLetter:
        letter = await self.find(letter_id)
        self.letters.remove(letter)
        return letter


class HandMadeRefunds:
    """One refund outstanding, one for a person."""

    def __init__(self) -> None:
        at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        intent = Intent(Channel.B2C, "owner", SESSION, "req_1", "Internal error during generation", HOSTILE, at)
        self.refunds = Refunds([Outstanding(intent, "ConnectError")], [NeedsAPerson(intent, "charged as an overage")])

    async def list(self) -> Refunds:
        return self.refunds

    async def settle_now(self, session: str | None = None) -> tuple[Sequence[Intent], Refunds]:
        if session not in (None, SESSION):
            raise NotThere(f"no refund of session {session} is outstanding")
        settled = [case.intent for case in self.refunds.outstanding]
        self.refunds = Refunds([], self.refunds.by_hand)
        return settled, self.refunds

    async def resolve(self, session: str) -> None:
        if session != SESSION:
            raise NotThere(f"no charge of session {session} waits for a person")
        self.refunds = Refunds(self.refunds.outstanding, [])


class HandMadeConsole:
    """The app, and what stands behind it."""

    def __init__(
        self, *, local: bool = True, token: str | None = None, pool: Any = None, producer: Any = None, **options: Any
    ) -> None:
        self.overview = HandMadeOverview()
        self.letters = HandMadeLetters()
        self.refunds = HandMadeRefunds()
        self.pool: Any = cast("Any", pool or _NoPool())
        console = ConsoleParts(
            "local" if local else "production",
            cast("Any", self.overview),
            cast("Any", self.letters),
            cast("Any", self.refunds),
            "http://pictures.test",
            producer,
        )
        health = Health("local", list, self.pool, connect("redis://127.0.0.1:1/0", name="nobody-there"))
        platform: Any = object() if local else None
        fetcher: Any = None
        self.app = create_app(
            ApiParts(health, fetcher, self.pool, platform, console=console), api_token=token, **options
        )


class _NoPool:
    processes = warm = 1
    waiting = 0
    ready = True


def a_now() -> Now:
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
    return Now(
        at=at,
        mode="production",
        status="degraded",
        problems=[
            "A refund has been outstanding for 2 min 10 s: the platform does not answer (ConnectError).",
            "2 dead letters wait for somebody.",
        ],
        parts=[PartNow(name=n, state="running") for n in ("consumer", "worker", "api", "lease", "housekeeping")]
        + [PartNow(name="pose_pool", state="restarting", restarts=2, error="PoseUnavailable: model could not start")],
        queues=QueuesNow(
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
            ProcessNow(
                worker=f"worker-{name}:7f3c",
                host=f"gen-{name}",
                pid=4200 + n,
                version="0.1.0",
                capacity=20,
                busy=20 - 6 * n,
                beat_age_s=1.2 + n,
                loop_lag_s=0.004 * (1 + 20 * n),
                memory_mb=312.0 + n,
                parts=[PartNow(name="worker", state="running"), PartNow(name="lease", state="running")],
            )
            for n, name in enumerate("ab")
        ],
        last_hour=minutes,
        failures_by_reason={"openai": 9, "moderation": 4, "picture": 2},
        openai=OpenAINow(
            calls=590, p50_s=27.4, p95_s=48.9, requests_per_minute=300, used_last_minute=112, next_slot_in_s=0.0
        ),
        spend_today=SpendNow(cost_usd=Decimal("187.4213"), pictures=4311, unknown_cost=2),
        pose_pool=PosePoolNow(processes=2, warm=1, waiting=0, expected_wait_s=0.08),
    )


def a_story() -> SessionStory:
    """A failure that was refunded, with hostile text wherever text can be."""
    at = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)

    def after(seconds: float) -> datetime:
        return at + timedelta(seconds=seconds)

    return SessionStory(
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
        where="Failed after two runs: the image model answered 500 three times.",
        reason=f"openai: server_error {HOSTILE}",
        events=[
            StoryEvent(at=at, kind="created", title="Session opened, 1 credit taken"),
            StoryEvent(at=after(0.2), kind="pushed", title="Task pushed"),
            StoryEvent(at=after(3.1), kind="taken", title="Taken from the queue"),
            StoryEvent(at=after(3.2), kind="started", title="Run 1 started", worker="worker-a:7f3c", attempt=1),
            StoryEvent(at=after(3.2), kind="step", title="Start", seconds=0.08, attempt=1),
            StoryEvent(at=after(3.3), kind="step", title="Photos", seconds=0.9, attempt=1, detail="2 pictures, 1.1 MB"),
            StoryEvent(at=after(4.2), kind="step", title="Generate", seconds=22.4, attempt=1),
            StoryEvent(at=after(26.6), kind="put_back", title="Put back: the rate limit", detail="again in 8 s"),
            StoryEvent(at=after(34.9), kind="started", title="Run 2 started", worker="worker-b:7f3c", attempt=2),
            StoryEvent(at=after(35.0), kind="step", title="Photos", seconds=0.7, attempt=2),
            StoryEvent(at=after(35.7), kind="step", title="Generate", seconds=28.1, attempt=2, detail=HOSTILE),
            StoryEvent(at=after(64.2), kind="failed", title="Failed", detail="openai: server_error"),
            StoryEvent(at=after(64.6), kind="refund", title="Credit given back", detail="StoreRefund, 1 credit"),
        ],
        refund=RefundStory(
            state=RefundState.GIVEN_BACK,
            sentence="The credit was given back 0.4 s after the failure.",
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
