"""What tests of the job side are built from: documents, workers, and stand-ins that answer from a script.

Redis and the platform are real; the stand-ins are only for what is far away (the image model, the internet) and for
saying when which answer of the platform gets lost.
"""

import asyncio
import itertools
import json
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from redis.asyncio import Redis

from wearon.dependencies import Dependencies
from wearon.events import Events
from wearon.local.platform import LocalPlatform
from wearon.metrics import Metrics
from wearon.observability.redaction import Redaction
from wearon.observability.tracing import Tracing
from wearon.platform.base import (
    Channel,
    Completion,
    LedgerEntry,
    Listed,
    Platform,
    PlatformUnavailable,
    Refund,
    RefundedAtOnce,
    Session,
    SessionRef,
)
from wearon.platform.session_rows import SESSION_TABLES, timestamp
from wearon.queue import keys
from wearon.queue.audit_log import Actor, AuditLog, Via
from wearon.queue.consumer import Consumer
from wearon.queue.dead_letters import DeadLetters
from wearon.queue.held_jobs import HeldJobs
from wearon.queue.jobs import (
    GENERATE,
    REJECT,
    Attempt,
    Enqueued,
    JobFunction,
    JobQueue,
    Retry,
)
from wearon.queue.lease import Fleet, HeartbeatWritten, Lease
from wearon.queue.lease_keeper import LeaseKeeper
from wearon.queue.limits import NO_LIMITS, Limits
from wearon.queue.tenants import tenant_of
from wearon.queue.worker import JobWorker, new_worker_id
from wearon.queue.worker_files import WorkerFiles
from wearon.redis.health import RedisHealth
from wearon.refunds.outbox import RefundOutbox
from wearon.tryon.image_model import GeneratedImage, ImageRequest, PaidAnswer, Usage
from wearon.tryon.input_images import Fetcher, InputImages
from wearon.tryon.spool import Spool

GUARD_S = 20.0
"""A test that waits longer than this for something has failed. Nothing is concluded from shorter times."""

PICTURE = GeneratedImage(b"\xff\xd8 a picture \xff\xd9", Usage(812, 1584, Decimal("0.056123")))

PERSON_URL = "https://pictures.example/person.jpg"
GARMENT_URL = "https://pictures.example/garment.jpg"


# Documents


def task_fields(ref: SessionRef, **changes: Any) -> dict[str, Any]:
    """A good queue document for the session, as a dict; `changes` replace or add fields."""
    owner = "store_id" if ref.channel is Channel.B2B else "user_id"
    return {
        "task_id": str(uuid4()),
        "channel": ref.channel.value,
        owner: ref.owner_id,
        "session_id": ref.session_id,
        "image_urls": [PERSON_URL, GARMENT_URL],
        "prompt": "",
        "request_id": "req_test",
        "version": 1,
        "created_at": "2026-11-24T12:00:00+00:00",
    } | changes


def document(ref: SessionRef, **changes: Any) -> bytes:
    """The same as a producer pushes it."""
    return json.dumps(task_fields(ref, **changes)).encode()


def some_session(channel: Channel = Channel.B2C) -> SessionRef:
    """Names a session that need not exist anywhere."""
    return SessionRef(channel, str(uuid4()), str(uuid4()))


def job_id(ref: SessionRef) -> str:
    """What the session's job is called in the queue."""
    return f"{ref.channel}:{ref.owner_id}:{ref.session_id}"


# Waiting


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when the condition holds; a test that never gets there fails."""
    async with asyncio.timeout(GUARD_S):
        while not await condition():  # noqa: ASYNC110 (it is in another process: Redis)
            await asyncio.sleep(0.005)


# Jobs and workers


@dataclass
class ScriptedJob:
    """A job function that notes its starts and answers from a script; what is not in the script ends well.

    An answer is None, a Retry, an error to raise, or a future to wait for.
    """

    answers: deque[Retry | BaseException | asyncio.Future[None] | None] = field(default_factory=deque)
    starts: list[tuple[dict[str, Any], Attempt]] = field(default_factory=list)
    _started: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, payload: dict[str, Any], attempt: Attempt) -> Retry | None:
        self.starts.append((payload, attempt))
        async with self._started:
            self._started.notify_all()
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, asyncio.Future):
            await answer
            return None
        return answer

    async def wait_for_starts(self, count: int) -> None:
        """Return when it has been started so many times."""
        async with asyncio.timeout(GUARD_S), self._started:
            await self._started.wait_for(lambda: len(self.starts) >= count)

    @property
    def attempts(self) -> list[Attempt]:
        """What each start was told about earlier ones."""
        return [attempt for _, attempt in self.starts]


def never() -> asyncio.Future[None]:
    """For a job that runs until it is cancelled."""
    return asyncio.get_running_loop().create_future()


def new_worker(
    redis: Redis,
    generate: JobFunction,
    *,
    reject: JobFunction | None = None,
    slots: int = 2,
    must_keep: Callable[[str], bool] = lambda _session_id: False,
) -> JobWorker:
    """A worker on the connections of `redis`, not running and without a lease."""
    events = Events()
    return JobWorker(
        redis,
        HeldJobs(redis, new_worker_id(), events),
        {GENERATE: generate, REJECT: reject or generate},
        slots=slots,
        job_timeout_s=600.0,
        deadline_s=540.0,
        must_keep=must_keep,
        events=events,
        tracing=Tracing(),
        dependencies=Dependencies(),
    )


def worker_id(worker: JobWorker) -> str:
    """What Redis knows it by."""
    return worker._held.worker_id


def new_lease(
    redis: Redis,
    name: str,
    capacity: int,
    *,
    events: Events | None = None,
    held: HeldJobs | None = None,
    report: Callable[[], str] = lambda: "",
    health: RedisHealth | None = None,
    keeper: LeaseKeeper | None = None,
    files: WorkerFiles | None = None,
) -> Lease:
    """A lease that is not renewed yet."""
    return Lease(
        redis,
        name,
        capacity,
        events=events or Events(),
        health=health or RedisHealth(),
        report=report,
        held=held,
        keeper=keeper,
        files=files,
    )


async def give_lease(redis: Redis, worker: JobWorker) -> Lease:
    """The worker's lease, renewed once."""
    lease = new_lease(redis, worker_id(worker), worker.slots, events=worker._events, held=worker._held)
    await lease.renew()
    return lease


class SeesFleet(Protocol):
    """What subscribes to heartbeats."""

    def _see_heartbeat(self, heartbeat: HeartbeatWritten) -> None: ...


def see_fleet(part: SeesFleet, fleet: Fleet | None = None, **counts: Any) -> None:
    """What a heartbeat tells of all processes."""
    part._see_heartbeat(HeartbeatWritten(fleet or Fleet(**counts)))


def new_consumer(
    redis: Redis, blocking: Redis, worker: JobWorker | None = None, limits: Limits = NO_LIMITS
) -> Consumer:
    """A consumer that knows of no fleet yet."""
    events = worker._events if worker else Events()
    return Consumer(redis, blocking, JobQueue(redis, limits), DeadLetters(redis, events), worker, events)


OPERATOR = Actor("operator", Via.CONSOLE)


def new_audit_log(redis: Redis) -> AuditLog:
    """The audit log, with one secret that must not get into it."""
    return AuditLog(redis, Redaction(["a-known-secret"]))


def new_dead_letters(redis: Redis) -> DeadLetters:
    """Dead letters that nothing subscribes to."""
    return DeadLetters(redis, Events())


def new_spool(folder: Path, dependencies: Dependencies | None = None) -> Spool:
    """A spool in that folder, as one process has it."""
    return Spool(folder, dependencies or Dependencies())


def new_outbox(
    redis: Redis, platform: Platform, events: Events | None = None, *, files: WorkerFiles | None = None
) -> RefundOutbox:
    """The outbox as one process has it."""
    return RefundOutbox(redis, platform, events or Events(), Tracing(), files)


@asynccontextmanager
async def running(*parts: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run endless coroutines beside a test; one that dies fails it."""
    tasks = [asyncio.ensure_future(part()) for part in parts]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1.0)  # again: Python 3.11 loses some


@asynccontextmanager
async def running_worker(
    redis: Redis, generate: JobFunction, *, reject: JobFunction | None = None, slots: int = 2
) -> AsyncIterator[JobWorker]:
    """A worker with a lease, running; at the end its jobs are cancelled."""
    worker = new_worker(redis, generate, reject=reject, slots=slots)
    lease = await give_lease(redis, worker)
    try:
        async with running(worker.run, lease.run):
            yield worker
    finally:
        await worker.drain(0)


# Redis


def untyped(redis: Redis) -> Any:
    """redis-py types the answer of most commands as "awaitable or not", which `await` does not take."""
    return redis


async def push(redis: Redis, *documents: bytes) -> None:
    """What producers do."""
    for data in documents:
        await untyped(redis).lpush(keys.TASKS, data)


async def entries(redis: Redis, name: str) -> list[bytes]:
    """A list in Redis, from left to right."""
    found: list[bytes] = await untyped(redis).lrange(name, 0, -1)
    return found


async def enqueue(redis: Redis, *refs: SessionRef, function: str = GENERATE, **changes: Any) -> None:
    """Put a job for each session into the queue, the way the consumer does."""
    for ref in refs:
        data = document(ref)
        await untyped(redis).lpush(keys.PENDING, data)
        job = Enqueued(data, job_id(ref), function, task_fields(ref, **changes))
        await JobQueue(redis).enqueue([job], free_slots=1)  # nobody is woken


async def defer(redis: Redis, ref: SessionRef, due_ms: float) -> None:
    """Let its job be due then, and wait in no line, as if it were retried."""
    line = keys.LINE + tenant_of(ref.channel, ref.owner_id)
    await untyped(redis).zrem(line, job_id(ref))
    await redis.zadd(keys.JOBS, {job_id(ref): due_ms})


async def take_all(redis: Redis, *consumers: Consumer) -> None:
    """Let consumers take tasks until the producers' list is empty: a pop would wait there."""
    for consumer in itertools.cycle(consumers):
        if not await untyped(redis).llen(keys.TASKS):
            return
        await consumer._take_one()


async def queued_jobs(redis: Redis) -> set[str]:
    """Ids in the queue, running ones too."""
    return {entry.decode() for entry in await untyped(redis).zrange(keys.JOBS, 0, -1)}


async def running_jobs(redis: Redis) -> dict[str, str]:
    """Who is written down as running what."""
    found = await untyped(redis).hgetall(keys.RUNNING)
    return {job.decode(): worker.decode() for job, worker in found.items()}


# The image model and the internet


@dataclass
class ScriptedModel:
    """Answers from a script, then with PICTURE. An answer is a picture, an error, or a future of a picture."""

    answers: deque[GeneratedImage | BaseException | asyncio.Future[GeneratedImage]] = field(default_factory=deque)
    images: dict[bytes, GeneratedImage] = field(default_factory=dict)
    requests: list[ImageRequest] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self, request: ImageRequest) -> PaidAnswer:
        """See ImageModel."""
        self.requests.append(request)
        self.asked.set()
        answer = self.answers.popleft() if self.answers else PICTURE
        if isinstance(answer, BaseException):
            raise answer
        image = await answer if isinstance(answer, asyncio.Future) else answer
        self.images[image.jpeg] = image
        return PaidAnswer(image.jpeg, image.model)

    async def read(self, answer: PaidAnswer) -> GeneratedImage:
        """The picture that the answer was made of, or one whose bytes are the answer's."""
        return self.images.get(answer.body, GeneratedImage(answer.body, PICTURE.usage, model=answer.model))

    async def aclose(self) -> None:
        """Nothing is open."""


def new_input_images(
    fetcher: Fetcher,
    prepare: Callable[[bytes], Awaitable[bytes]],
    metrics: Metrics | None = None,
    *,
    is_stored: Callable[[str], bool] = lambda _url: False,
    dependencies: Dependencies | None = None,
) -> InputImages:
    """Input images of a storage that knows by `is_stored` what is its own."""
    return InputImages(
        fetcher,
        prepare,
        metrics or Metrics(),
        stored_path=lambda url: url if is_stored(url) else None,
        dependencies=dependencies or Dependencies(),
    )


@dataclass
class ScriptedFetcher:
    """Knows some URLs; each one's answers come in turn, the last for ever."""

    answers: Mapping[str, Sequence[bytes | Exception]]
    trusted: Iterable[str] = ()
    asked: list[str] = field(default_factory=list)

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """See Fetcher."""
        answers = self.answers[url]
        answer = answers[min(self.asked.count(url), len(answers) - 1)]
        self.asked.append(url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def trusts(self, url: str) -> bool:
        """See Fetcher."""
        return url in self.trusted


# The platform


@dataclass
class Fault:
    """The next `times` calls of `method` raise `error`, instead of being made or (`answer_lost`) after they were."""

    method: str
    error: Exception = field(default_factory=lambda: PlatformUnavailable("away for the test"))
    answer_lost: bool = False
    times: int = 1


class FaultyPlatform:
    """A real platform whose calls can be made to fail, and which counts them.

    `before` and `after` are called around every call with the method's name: a test may act in between.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.after: Callable[[str], Awaitable[None]] | None = None

    def break_next(self, method: str, **details: Any) -> None:
        """See Fault."""
        self.faults.append(Fault(method, **details))

    async def _call(self, method: str, *args: Any, **options: Any) -> Any:
        self.calls.append(method)
        if self.before:
            await self.before(method)
        fault = next((fault for fault in self.faults if fault.method == method and fault.times > 0), None)
        if fault:
            fault.times -= 1
        if fault and not fault.answer_lost:
            raise fault.error
        answer = await getattr(self._platform, method)(*args, **options)
        if self.after:
            await self.after(method)
        if fault:
            raise fault.error
        return answer

    async def find_session(self, channel: Channel, session_id: str) -> Session | None:
        """See Platform, like all that follow."""
        found: Session | None = await self._call("find_session", channel, session_id)
        return found

    async def start_session(self, ref: SessionRef) -> bool:
        return bool(await self._call("start_session", ref))

    async def requeue_session(self, ref: SessionRef) -> bool:
        return bool(await self._call("requeue_session", ref))

    async def complete_session(self, ref: SessionRef, completion: Completion) -> bool:
        return bool(await self._call("complete_session", ref, completion))

    async def fail_session(self, ref: SessionRef, error_message: str, completed_at: datetime) -> bool:
        return bool(await self._call("fail_session", ref, error_message, completed_at))

    async def list_sessions(self, *args: Any, **options: Any) -> Sequence[Session]:
        found: Sequence[Session] = await self._call("list_sessions", *args, **options)
        return found

    async def ledger_entries(self, session: Session) -> Sequence[LedgerEntry]:
        found: Sequence[LedgerEntry] = await self._call("ledger_entries", session)
        return found

    async def ledgers(self, sessions: Sequence[Session]) -> Mapping[SessionRef, Sequence[LedgerEntry]]:
        found: Mapping[SessionRef, Sequence[LedgerEntry]] = await self._call("ledgers", sessions)
        return found

    async def refunds_naming(self, session: Session) -> Sequence[LedgerEntry]:
        found: Sequence[LedgerEntry] = await self._call("refunds_naming", session)
        return found

    async def give_back(self, refund: Refund) -> bool:
        return bool(await self._call("give_back", refund))

    async def fail_and_refund(
        self, ref: SessionRef, error_message: str, completed_at: datetime, description: str
    ) -> RefundedAtOnce | None:
        done: RefundedAtOnce | None = await self._call("fail_and_refund", ref, error_message, completed_at, description)
        return done

    async def check_bucket(self) -> None:
        await self._call("check_bucket")

    async def store_picture(self, ref: SessionRef, jpeg: bytes) -> None:
        await self._call("store_picture", ref, jpeg)

    async def has_picture(self, ref: SessionRef) -> bool:
        return bool(await self._call("has_picture", ref))

    async def sign_picture(self, ref: SessionRef) -> str:
        return str(await self._call("sign_picture", ref))

    async def search_sessions(self, term: str, limit: int, created_before: datetime | None = None) -> Sequence[Session]:
        found: Sequence[Session] = await self._call("search_sessions", term, limit, created_before)
        return found

    def stored_path(self, url: str) -> str | None:
        return self._platform.stored_path(url)

    async def list_folder(self, folder: str, limit: int, offset: int = 0) -> Sequence[Listed]:
        found: Sequence[Listed] = await self._call("list_folder", folder, limit, offset)
        return found

    async def delete_pictures(self, paths: Sequence[str]) -> int:
        return int(await self._call("delete_pictures", paths))

    async def existing_sessions(self, channel: Channel, session_ids: Sequence[str]) -> set[str]:
        found: set[str] = await self._call("existing_sessions", channel, session_ids)
        return found

    async def needed_results(self, channel: Channel, session_ids: Sequence[str], ended_after: datetime) -> set[str]:
        found: set[str] = await self._call("needed_results", channel, session_ids, ended_after)
        return found

    async def sign_for_a_look(self, path: str) -> str | None:
        url: str | None = await self._call("sign_for_a_look", path)
        return url

    async def check(self) -> None:
        await self._call("check")

    async def aclose(self) -> None:
        await self._platform.aclose()


class LocalShop:
    """A LocalPlatform in `home`, and what its owner sees and does behind the worker's back."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def open_shop(self) -> None:
        """Make the platform, which makes the tables."""
        self.platform = await LocalPlatform.open(self._home, "http://127.0.0.1:8000")
        self._database = sqlite3.connect(self._home / "platform.sqlite3", timeout=10)
        self._database.row_factory = sqlite3.Row

    async def close_shop(self) -> None:
        """Close what was opened."""
        self._database.close()
        await self.platform.aclose()

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL past the adapter."""
        with self._database:
            return [dict(row) for row in self._database.execute(query, values).fetchall()]

    def row(self, ref: SessionRef) -> dict[str, Any]:
        """The session row as it stands."""
        return self.sql(f"select * from {SESSION_TABLES[ref.channel].name} where id = ?", ref.session_id)[0]

    def status(self, ref: SessionRef) -> str:
        """The session's status."""
        return str(self.row(ref)["status"])

    def set_row(self, ref: SessionRef, **columns: object) -> None:
        """Change the session row, as other parts of the platform do."""
        for column, value in columns.items():
            query = f"update {SESSION_TABLES[ref.channel].name} set {column} = ? where id = ?"
            self.sql(query, timestamp(value) if isinstance(value, datetime) else value, ref.session_id)

    def refunds(self, ref: SessionRef) -> list[dict[str, Any]]:
        """The owner's refund rows."""
        if ref.channel is Channel.B2C:
            return self.sql("select * from credit_transactions where user_id = ? and type = 'refund'", ref.owner_id)
        query = "select * from store_credit_transactions where store_id = ? and type = 'refund'"
        return self.sql(query, ref.owner_id)

    def cron(self, ref: SessionRef) -> None:
        """The platform's own clean-up of b2c sessions: failed and refunded in one go."""
        earlier = datetime.now(UTC) - timedelta(seconds=1)
        self.set_row(ref, status="failed", error_message="Timed out", completed_at=earlier)
        self.sql("update user_credits set balance = balance + 1 where user_id = ?", ref.owner_id)
        self.sql(
            "insert into credit_transactions (user_id, amount, type, description, created_at)"
            " values (?, 1, 'refund', ?, ?)",
            ref.owner_id,
            f"Timed out: session {ref.session_id}",
            timestamp(earlier),
        )


@dataclass(frozen=True)
class Buyer:
    """Somebody who buys generations of a shop."""

    shop: LocalShop
    channel: Channel
    shopper_email: str | None = None

    async def buy(self, credits: int = 1) -> SessionRef:  # noqa: A002 (the contract's word)
        """Pay for a generation and open its session."""
        session = await self.shop.platform.create_session(
            self.channel, request_id=f"req_{uuid4().hex}", shopper_email=self.shopper_email, credits=credits
        )
        return session.ref

    async def balance(self) -> int | None:
        """Credits left; DEMO_CREDITS when everything was given back."""
        return await self.shop.platform.balance(self.channel, shopper_email=self.shopper_email)
