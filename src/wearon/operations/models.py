"""One model for each thing that operators see, the same in Redis, in the status, in `/health` and in the console.

Names of fields are those of Redis and of the JSON, and stay: two versions run side by side. Times are ISO 8601 in UTC,
durations are seconds. A component and a refusal are produced further below (`wearon.supervisor`,
`wearon.dependencies`).
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, Field

from wearon.dependencies import Refusal
from wearon.observability.kept_lines import LogLine
from wearon.operations.audit.books import Books
from wearon.operations.incident_model import Incident
from wearon.operations.readable import Count, Moment, Seconds
from wearon.operations.retention.rounds import Round
from wearon.queue.pauses import Pause
from wearon.supervisor import Component, ComponentHealth


class ImageModel(BaseModel):
    """An image model that a process asks."""

    name: str
    last_day: date | None = None
    """Announced: from that day on it answers no more. None: no day is known."""


class RunningJob(BaseModel):
    """One job that a worker has at this moment."""

    session_id: str
    request_id: str
    channel: str
    worker: str = ""
    """Not part of a worker's own report."""
    step: str
    """start, photos, rate_limit, generate, upload, complete, refund."""
    step_s: Seconds
    """Since the step began."""
    age_s: Seconds
    """Since the attempt began."""
    attempt: Count
    owner_id: str = ""
    began_at: Moment | None = None
    steps: list[tuple[str, Seconds, Seconds | None]] = []
    """The attempt's steps in the order in which they began: name, seconds since the attempt began, how long it took;
    None: it is under way."""

    def after(self, seconds: float, worker: str) -> "RunningJob":
        """This job some seconds after the report, provided that it is still in that step."""
        step_s, age_s = round(self.step_s + seconds, 1), round(self.age_s + seconds, 1)
        return self.model_copy(update={"worker": worker, "step_s": step_s, "age_s": age_s})


class Process(BaseModel):
    """One living process, as it described itself with its last heartbeat (4 s apart)."""

    worker: str = ""
    host: str
    pid: int
    version: str
    capacity: Count
    """Jobs that it runs at most; 0 for a process that runs none."""
    busy: Count
    beat_age_s: float = 0.0
    """Since the heartbeat; like `worker` not part of the report, but of what its lease says."""
    loop_lag_s: Seconds = 0.0
    """The longest delay of its event loop between the last two heartbeats."""
    memory_mb: float | None = None
    """Resident; None where there is no /proc."""
    parts: list[Component] = []
    refusals: list[Refusal] = []
    last_refused: dict[str, Moment] = {}
    """Code of an incident such as `supabase_rest_away` -> the last refusal of that kind, granted again or not."""
    answered_again: dict[str, Moment] = {}
    """Code -> when the first success followed such a refusal; no entry while it is refused."""
    image_models: list[ImageModel] = []
    """The wanted one, then its fallbacks; empty in a process that runs no jobs, and in local mode."""


class Report(Process):
    """What a process writes about itself into Redis with each heartbeat."""

    calls_last_minute: Count = 0
    """Requests to the image model."""
    jobs: list[RunningJob] = []


class QueueLengths(BaseModel):
    """How many entries each place in Redis has."""

    tasks: int
    taken: int
    jobs: int
    """In the queue and not ended: waiting, deferred or running."""
    dead_letters: int
    refunds: int
    refunds_by_hand: int
    oldest_refund_s: float | None = None
    """Age of the oldest outstanding refund; one older than 30 s is late, and the status degraded."""


class Queues(QueueLengths):
    """What waits in Redis."""

    oldest_task_s: float | None = None
    """Of what waits, in the producers' list or in a tenant's line. None: nothing does."""
    running: int
    in_lines: int = 0
    """Jobs that wait for their tenant's turn; `jobs` counts them, too."""
    longest_lines: dict[str, int] = {}
    """Tenant (`b2c`, or `b2b:` and the store's id) -> its part of `in_lines`: the ten longest, the longest first."""

    @property
    def waiting(self) -> int:
        """What waits for an attempt, the first or another: tasks, and jobs that do not run."""
        return self.tasks + max(0, self.jobs - self.running)


class Minute(BaseModel):
    """What ended within one minute, over the whole fleet."""

    at: datetime
    completed: int = 0
    failed: int = 0
    put_back: int = 0
    refunded: int = 0
    openai_calls: int = 0
    openai_s: float = 0.0
    """Sum over the calls."""
    causes: dict[str, int] = Field(default={}, exclude=True)
    """Counters by cause, such as `retried:supabase.away.upload`."""
    cost_usd: Decimal = Decimal(0)


class ImageModelUse(BaseModel):
    """Requests to the image model over the last hour, and the fleet's rate limit now."""

    calls: int
    p50_s: float | None = None
    p95_s: float | None = None
    requests_per_minute: int
    used_last_minute: int
    next_slot_in_s: float
    """How long a request that came now would wait for the fleet's limit."""


class Spend(BaseModel):
    """Money spent on pictures since midnight UTC."""

    cost_usd: Decimal
    pictures: int
    unknown_cost: int
    """Pictures whose answer carried no usage."""


class PosePoolHealth(BaseModel):
    """The processes that estimate poses for this process."""

    processes: int
    warm: int
    waiting: int


class PosePoolStatus(PosePoolHealth):
    """The pose processes, and how long an estimate would wait for one now."""

    expected_wait_s: float


class Descriptors(BaseModel):
    """Open files and connections of this process, and how they are shared out."""

    limit: int
    open: int | None
    paid_work: int
    downloads: int
    http: int
    needed: int = Field(exclude=True)
    """The sum of all shares; more than `limit` means that one of them may find none left."""


class FleetStatus(BaseModel):
    """The fleet at one moment. `queues` is None while Redis does not answer; then only this process is known."""

    at: datetime
    mode: str
    status: str
    """ok or degraded (`wearon.operations.incidents.is_well`), as in `/health`."""
    problems: list[str] = []
    """One sentence for each incident, worst first; empty when all is well. For callers of before 1.1."""
    incidents: list[Incident] = []
    """Worst first; empty when all is well."""
    recovered: list[Incident] = []
    """Those that ended within the last quarter of an hour, the newest first."""
    parts: list[Component] = []
    """Of the process that answers."""
    refusals: list[Refusal] = []
    """What Redis, Supabase or OpenAI refuse the process that answers."""
    queues: Queues | None = None
    pauses: list[Pause] = []
    """Of the fleet (tenant `*`) and of single tenants: their jobs are not started."""
    near_cron: list[str] = []
    """While b2c is paused: sessions that the platform's cron fails within minutes, the oldest first."""
    running: list[RunningJob] = []
    processes: list[Process] = []
    last_hour: list[Minute] = []
    """Sixty, oldest first, empty minutes included; the last one is under way."""
    failures_by_reason: dict[str, int] = {}
    """Last hour: moderation, rate_limit, picture, openai, platform, deadline, task, crashes, internal."""
    openai: ImageModelUse | None = None
    spend_today: Spend | None = None
    books: Books | None = None
    """The last audit; None: Redis knows of none."""
    retention: Round | None = None
    """The newest round of deleting old pictures; None: no process deletes them, or none has begun yet."""
    pose_pool: PosePoolStatus | None = None
    descriptors: Descriptors | None = Field(default=None, exclude=True)
    """Of the process that answers; only `/health` shows them."""


class Health(BaseModel):
    """The answer of `/health`: how this process is, and what waits in Redis."""

    status: str
    model_loaded: bool
    redis_connected: bool
    mode: str
    parts: dict[str, ComponentHealth]
    pose_pool: PosePoolHealth | None
    queues: QueueLengths | None
    refusals: list[Refusal] = []
    """Empty when no service that is needed refuses anything."""
    descriptors: Descriptors | None = None
    pauses: list[Pause] = []
    incidents: list[str] = []
    """Their codes, worst first. One that is critical makes the status degraded."""

    @classmethod
    def of(cls, fleet: FleetStatus) -> "Health":
        """The part of the fleet's status that concerns the process that answers."""
        return cls(
            status=fleet.status,
            model_loaded=fleet.pose_pool is not None and fleet.pose_pool.warm > 0,
            redis_connected=fleet.queues is not None,
            mode=fleet.mode,
            parts={component.name: component for component in fleet.parts},
            pose_pool=fleet.pose_pool,
            queues=fleet.queues,
            refusals=fleet.refusals,
            descriptors=fleet.descriptors,
            pauses=fleet.pauses,
            incidents=list(dict.fromkeys(incident.code for incident in fleet.incidents)),
        )


class SessionSummary(BaseModel):
    """One hit of a search."""

    session_id: str
    channel: str
    owner_id: str
    """The store's or the user's id."""
    request_id: str | None = None
    status: str
    created_at: datetime
    completed_at: datetime | None = None
    error_message: str | None = None


class HistoryEvent(BaseModel):
    """One point of a session's time line."""

    at: datetime
    kind: str
    """created, pushed, taken, started, step, put_back, wait, completed, failed, stopped, dead_letter, refund,
    ended_elsewhere."""
    title: str
    """A short sentence for people: `Upload`, `Retried in 8 s: rate limit`."""
    step: str | None = None
    """Which step, by the names that `RunningJob.step` has; None for anything but a step."""
    seconds: float | None = None
    """How long a step or a wait took; None for points in time, and for what is under way or did not end."""
    detail: str | None = None
    worker: str | None = None
    attempt: int | None = None
    settled: str | None = None
    """Of a refund: what became of it, by the names of `wearon.refunds.intents.Settled`."""


class RefundState(StrEnum):
    """Where the shopper's credit is."""

    NOT_OWED = "not_owed"
    """Completed, or still open."""
    OUTSTANDING = "outstanding"
    """In the outbox: it is tried until it succeeds."""
    GIVEN_BACK = "given_back"
    """The ledger has it."""
    BY_HAND = "by_hand"
    """It needs review: only a person can settle it."""
    NOT_SEEN = "not_seen"
    """The session failed, and neither outbox nor ledger knows of a refund."""


class LedgerLine(BaseModel):
    """One row of the credit ledger that concerns the session. E-mail addresses are masked."""

    type: str
    description: str


class RefundHistory(BaseModel):
    """Whether the credit was refunded, and the evidence."""

    state: RefundState
    sentence: str
    evidence: list[LedgerLine] = []
    last_error: str | None = None


class PictureRef(BaseModel):
    """A picture that can be signed on demand: `input/0`, `input/1`, ... or `result`."""

    name: str
    label: str
    """Person, Garment, Accessory 1, Result."""
    available: bool
    """False: it is not in our storage (`where` names the host), or not there yet."""
    where: str | None = None
    path: str | None = Field(default=None, exclude=True)
    """In our storage."""


class Advice(BaseModel):
    """What is to be said and done about one failure (`wearon.operations.reasons`)."""

    headline: str
    """What happened, in one sentence."""
    operator: str
    """What the operator does about it."""
    clerk: str
    """What the clerk may tell the shopper."""
    shopper: str = ""
    """What the shopper can change; empty: nothing."""


class SessionHistory(BaseModel):
    """Why a session failed, and whether its credit was refunded."""

    session: SessionSummary
    credits_used: int
    processing_time_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    estimated_cost_usd: Decimal | None = None
    model: str | None = None
    """The image model that made the picture, as far as the history knows."""
    where: str
    """One sentence: where it is now, or how it ended and why."""
    reason: str | None = None
    """The operator's reason of a failure; the shopper read `session.error_message`."""
    advice: Advice | None = None
    """Of a failed session."""
    events: list[HistoryEvent] = []
    refund: RefundHistory
    log: list[LogLine] = []
    """The newest kept lines of its attempts."""
    pictures: list[PictureRef] = []
