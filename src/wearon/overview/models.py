"""The shapes of the overview, as the console's JSON has them. Times are ISO 8601 in UTC, durations seconds."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel


class PartNow(BaseModel):
    """One part of one process: consumer, worker, api, lease, housekeeping, image_models, pose_pool."""

    name: str
    state: str
    restarts: int = 0
    error: str | None = None


class RefusalNow(BaseModel):
    """What a service refuses a process: it has not granted it since."""

    dependency: str
    """redis, supabase, openai."""
    words: str
    since_s: float


class ImageModelNow(BaseModel):
    """An image model that a process asks."""

    name: str
    last_day: date | None = None
    """Announced: from that day on it answers no more. None: not that we know."""


class RunningJob(BaseModel):
    """One job that a worker has at this moment."""

    session_id: str
    request_id: str
    channel: str
    worker: str
    step: str
    """start, photos, rate_limit, generate, upload, complete, refund."""
    step_s: float
    """Since the step began."""
    age_s: float
    """Since the job was started."""
    attempt: int


class ProcessNow(BaseModel):
    """What one living process said of itself with its last beat (4 s apart)."""

    worker: str
    host: str
    pid: int
    version: str
    capacity: int
    busy: int
    beat_age_s: float
    loop_lag_s: float
    """The longest that its event loop kept anybody waiting since the beat before."""
    memory_mb: float | None = None
    parts: list[PartNow] = []
    refusals: list[RefusalNow] = []
    image_models: list[ImageModelNow] = []
    """The one that is wanted, then its fallbacks; empty in a process that runs no jobs, and in local mode."""


class QueuesNow(BaseModel):
    """What lies where in Redis. `None` ages: there is nothing there."""

    tasks: int
    oldest_task_s: float | None = None
    taken: int
    jobs: int
    """Handed over and not ended: waiting, put back for later, or running."""
    running: int
    dead_letters: int
    refunds: int
    refunds_by_hand: int
    oldest_refund_s: float | None = None


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
    cost_usd: Decimal = Decimal(0)


class OpenAINow(BaseModel):
    """The image model over the last hour, and the fleet's rate limit now."""

    calls: int
    p50_s: float | None = None
    p95_s: float | None = None
    requests_per_minute: int
    used_last_minute: int
    next_slot_in_s: float
    """How long a request that came now would wait for the fleet's limit."""


class SpendNow(BaseModel):
    """Since midnight UTC."""

    cost_usd: Decimal
    pictures: int
    unknown_cost: int
    """Pictures whose answer carried no usage."""


class PosePoolNow(BaseModel):
    """This process's estimates."""

    processes: int
    warm: int
    waiting: int
    expected_wait_s: float


class Now(BaseModel):
    """Everything at a glance. `queues` is None while Redis does not answer; then only this process is known."""

    at: datetime
    mode: str
    status: str
    """ok or degraded, as in `/health`."""
    problems: list[str] = []
    """One sentence for each thing that needs somebody, worst first; empty when all is well."""
    parts: list[PartNow] = []
    """Of the process that answers."""
    refusals: list[RefusalNow] = []
    """Of the process that answers, too."""
    queues: QueuesNow | None = None
    running: list[RunningJob] = []
    processes: list[ProcessNow] = []
    last_hour: list[Minute] = []
    """Sixty, oldest first, empty minutes included; the last one is under way."""
    failures_by_reason: dict[str, int] = {}
    """Last hour: moderation, rate_limit, picture, openai, platform, deadline, task, crashes, internal."""
    openai: OpenAINow | None = None
    spend_today: SpendNow | None = None
    pose_pool: PosePoolNow | None = None


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


class StoryEvent(BaseModel):
    """One point of a session's time line."""

    at: datetime
    kind: str
    """created, pushed, taken, started, step, put_back, completed, failed, stopped, dead_letter, refund,
    ended_elsewhere."""
    title: str
    """A short sentence for people: `Upload`, `Put back: the rate limit`."""
    step: str | None = None
    """Which step, by the names that `RunningJob.step` has; None for anything but a step."""
    seconds: float | None = None
    """How long a step took; None for points in time, or for a step that did not end."""
    detail: str | None = None
    worker: str | None = None
    attempt: int | None = None


class RefundState(StrEnum):
    """Where the shopper's credit is."""

    NOT_OWED = "not_owed"
    """Completed, or still open."""
    OUTSTANDING = "outstanding"
    """In the outbox: it is tried until it succeeds."""
    GIVEN_BACK = "given_back"
    """The ledger has it."""
    BY_HAND = "by_hand"
    """A person has to put it right."""
    NOT_SEEN = "not_seen"
    """The session failed, and neither outbox nor ledger knows of a refund: look."""


class LedgerLine(BaseModel):
    """One row of the credit ledger that concerns the session. E-mail addresses are masked."""

    type: str
    description: str


class RefundStory(BaseModel):
    """Did they get the credit back, and what says so."""

    state: RefundState
    sentence: str
    evidence: list[LedgerLine] = []
    last_error: str | None = None


class LogLine(BaseModel):
    """One kept log line of the session's runs, without secrets, tokens and addresses."""

    at: datetime
    level: str
    event: str
    fields: dict[str, str] = {}


class PictureRef(BaseModel):
    """A picture that can be signed on demand: `input/0`, `input/1`, ... or `result`."""

    name: str
    label: str
    """Person, Garment, Accessory 1, Result."""
    available: bool
    """False: it does not lie in our storage (`where` says whose it is), or is not there yet."""
    where: str | None = None


class SessionStory(BaseModel):
    """Why did this one fail, and did they get the credit back."""

    session: SessionSummary
    credits_used: int
    processing_time_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    estimated_cost_usd: Decimal | None = None
    model: str | None = None
    """The image model that made the picture, as far as the journal knows."""
    where: str
    """One sentence: where it is now, or how it ended and why."""
    reason: str | None = None
    """The operator's reason of a failure; the shopper read `session.error_message`."""
    events: list[StoryEvent] = []
    refund: RefundStory
    log: list[LogLine] = []
    pictures: list[PictureRef] = []
