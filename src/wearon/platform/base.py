"""What the worker needs from the platform that owns sessions, credits and pictures, in the worker's own words.

Two classes speak it: `SupabasePlatform` in production and `LocalPlatform` for trying the worker out. Both pass
the same test suite (`tests/integration/platform`).

Every method makes one attempt. It raises

    PlatformError
    ├── PlatformUnavailable   no answer, or a 5xx: it may or may not have happened, so look before acting again
    └── PlatformRefused       a definite no (4xx): it has not happened. Who it is about says what follows (`About`):
        ├── US                our key, our rights, the schema, the bucket (`BucketRefused`), the gateway: an outage
        ├── SESSION           this one session: final (`SessionUnreadable` is always that)
        └── PICTURE           this one stored picture: it is stored again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class PlatformError(Exception):
    """The platform did not do what it was asked."""


class PlatformUnavailable(PlatformError):
    """No usable answer came: the change may or may not have been made."""


class About(StrEnum):
    """Who a refusal is about."""

    US = "us"
    """The worker or what lies between: every request of this kind is refused until an operator has acted, or a key
    rotation, a failover or a schema reload is over."""
    SESSION = "session"
    """One session: the same request will be refused again, and no other one."""
    PICTURE = "picture"
    """One stored picture."""


class PlatformRefused(PlatformError):
    """The platform understood and said no."""

    @property
    def about(self) -> About:
        """What the refusal is about: us, or one session."""
        return About.US


class BucketRefused(PlatformRefused):
    """No picture can be stored: the bucket is missing, or takes no results."""


class SessionUnreadable(PlatformRefused):
    """The session's row is not what the contract says: reading it again finds the same."""

    @property
    def about(self) -> About:
        """What the refusal is about: us, or one session."""
        return About.SESSION


class Channel(StrEnum):
    """Where the generation was bought: in a partner's store, or on WearOn itself."""

    B2B = "b2b"
    B2C = "b2c"


class Status(StrEnum):
    """States of a session. `completed` and `failed` are final."""

    QUEUED = "queued"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


PICTURE_URL_SECONDS = 21_600
"""How long the URL of a result lives: 6 hours, from the contract."""

LOOK_URL_SECONDS = 600
"""How long a URL lives that is signed for a person who looks at a session: the browser loads the picture at once."""

MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The bucket takes no larger object; a larger one is refused."""

OPEN_STATUSES = (Status.QUEUED, Status.PENDING, Status.PROCESSING)
"""The states that a session may still leave; `pending` is a legacy state that only b2c has."""

FINAL_STATUSES = (Status.COMPLETED, Status.FAILED)

DELETED_AT_ONCE = 100
"""Pictures that are deleted with one request, and sessions that are asked for before: their ids make a URL of 4 KB."""

ASKED_AT_ONCE = 100
"""Sessions whose rows are looked for with one request."""

LEDGERS_AT_ONCE = 40
"""Sessions whose ledger rows are asked for with one request: their ids make a URL of 5 KB, and gateways take 8."""


@dataclass(frozen=True, slots=True)
class SessionRef:
    """Names one session together with its owner: `store_id` for b2b, `user_id` for b2c."""

    channel: Channel
    owner_id: str
    session_id: str

    @property
    def picture_path(self) -> str:
        """Where the result lies in the bucket: the same for every attempt, so that a re-run finds it."""
        if self.channel is Channel.B2B:
            return f"stores/{self.owner_id}/generated/{self.session_id}.jpg"
        return f"generated/{self.owner_id}/{self.session_id}.jpg"


@dataclass(frozen=True, slots=True)
class Session:
    """A session row as it was read."""

    ref: SessionRef
    status: Status
    credits_used: int
    created_at: datetime
    request_id: str | None = None
    """The platform's request id (b2b only): the key of the store's ledger."""
    error_message: str | None = None
    generated_image_url: str | None = None
    completed_at: datetime | None = None
    processing_time_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    estimated_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What is written into a finished session. Token counts and cost are None when a paid answer did not carry them."""

    generated_image_url: str
    processing_time_ms: int
    input_tokens: int | None
    output_tokens: int | None
    estimated_cost_usd: Decimal | None
    completed_at: datetime


class LedgerEntryType(StrEnum):
    """The kinds of ledger rows that a refund decision looks at; rows of other kinds are left out."""

    DEDUCTION = "deduction"
    OVERAGE = "overage"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of a credit ledger that concerns a given session."""

    type: LedgerEntryType
    description: str
    owner_id: str = field(default="", compare=False)
    """Whose ledger it stands in."""
    amount: int | None = field(default=None, compare=False)
    """Credits, with the platform's own sign; None where the row does not say."""


@dataclass(frozen=True, slots=True)
class UserRefund:
    """b2c: `refund_credits`. Not idempotent: two calls pay twice."""

    user_id: str
    amount: int
    description: str


@dataclass(frozen=True, slots=True)
class StoreRefund:
    """b2b, the store paid: `refund_store_credits`. A second one for a request is refused by the ledger."""

    store_id: str
    amount: int
    request_id: str
    description: str


@dataclass(frozen=True, slots=True)
class ShopperRefund:
    """b2b in resell mode, the shopper paid: `refund_store_shopper_credits`. Refused when repeated, too."""

    store_id: str
    shopper_email: str
    amount: int
    request_id: str
    description: str


Refund = UserRefund | StoreRefund | ShopperRefund


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a folder in the platform's storage. Anybody may have chosen the name: nothing of it is trusted."""

    name: str
    """Within the folder."""
    changed_at: datetime | None
    """When the picture was stored there, the last time; None: it is a folder."""


class RefundedAtOnce(StrEnum):
    """What `fail_and_refund` found or did. The values are those that the SQL function answers."""

    REFUNDED = "refunded"
    ALREADY_REFUNDED = "already_refunded"
    NOTHING_OWED = "nothing_owed"
    """`credits_used` is 0."""
    ENDED_ELSEWHERE = "ended_elsewhere"
    """Another process had made the session final, and owns its refund."""
    NO_SESSION = "no_session"
    """There is no such session of this user."""


class Platform(Protocol):
    """Sessions, credits and pictures."""

    async def find_session(self, channel: Channel, session_id: str) -> Session | None:
        """Read the session's row, of any owner; None when there is none."""

    async def start_session(self, ref: SessionRef) -> bool:
        """queued | pending | processing -> processing. False: no such open session of this owner."""

    async def requeue_session(self, ref: SessionRef) -> bool:
        """processing -> queued, while a rate limit is waited out. False: it was not processing."""

    async def complete_session(self, ref: SessionRef, completion: Completion) -> bool:
        """processing -> completed. False: it was not processing any more (or the last answer was lost)."""

    async def fail_session(self, ref: SessionRef, error_message: str, completed_at: datetime) -> bool:
        """queued | pending | processing -> failed. True: this call made the transition and owns the refund."""

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
        """A page of the channel's sessions in these states, by `created_at` and id; none at the end only.

        The next page is the one `after` the last session of this one. Rows that cannot be read are left out.
        """

    async def search_sessions(self, term: str, limit: int, created_before: datetime | None = None) -> Sequence[Session]:
        """Sessions of both channels whose id, owner id or request id (b2b) is `term`, newest first.

        With the last one's `created_at`, `created_before` asks for the next page.
        """

    async def existing_sessions(self, channel: Channel, session_ids: Sequence[str]) -> set[str]:
        """The ids, of at most `ASKED_AT_ONCE` uuids, that have a row of any owner."""

    async def ledger_entries(self, session: Session) -> Sequence[LedgerEntry]:
        """The ledger rows of the session's charge.

        b2b: all rows of the store with the session's `request_id` (none when it has none). b2c: refunds of the
        user whose description carries the session id.
        """

    async def ledgers(self, sessions: Sequence[Session]) -> Mapping[SessionRef, Sequence[LedgerEntry]]:
        """`ledger_entries` of at most `LEDGERS_AT_ONCE` sessions of one channel."""

    async def refunds_naming(self, session: Session) -> Sequence[LedgerEntry]:
        """Refunds of any owner of the channel whose description carries the session id. Slow: no index helps."""

    async def give_back(self, refund: Refund) -> bool:
        """Call the refund function. False: the ledger already had it (23505), nothing was paid now."""

    async def fail_and_refund(
        self, ref: SessionRef, error_message: str, completed_at: datetime, description: str
    ) -> RefundedAtOnce | None:
        """b2c: `fail_session` and `give_back` as one transaction, idempotent by session. None: not offered here.

        A session that is `failed` with just this `completed_at` was failed by us: its refund is (still) ours to make.
        """

    async def check_bucket(self) -> None:
        """Raise when a result could not be stored, as far as that can be told: nothing is paid then."""

    async def store_picture(self, ref: SessionRef, jpeg: bytes) -> None:
        """Put the result at `ref.picture_path`, replacing what an earlier attempt left there."""

    async def has_picture(self, ref: SessionRef) -> bool:
        """Whether an earlier attempt has already stored a result."""

    async def sign_picture(self, ref: SessionRef) -> str:
        """A URL of the stored result that lives for 6 hours (the contract's 21600 s)."""

    def stored_path(self, url: str) -> str | None:
        """Where in our storage the URL of a picture points, without its token; None: it lies somewhere else."""

    async def sign_for_a_look(self, path: str) -> str | None:
        """A URL of what lies at `path` in our storage, for ten minutes; None when nothing does."""

    async def list_folder(self, folder: str, limit: int, offset: int = 0) -> Sequence[Listed]:
        """A page of what is right in a folder of our storage: folders, and pictures, the oldest first.

        A folder is there as long as something lies in it; one that is not there has no entries.
        """

    async def delete_pictures(self, paths: Sequence[str]) -> int:
        """Delete at most `DELETED_AT_ONCE` pictures for good; how many were there.

        Raises ValueError, and deletes nothing, when a path is not of a shape that `picture_paths` knows.
        """

    async def needed_results(self, channel: Channel, session_ids: Sequence[str], ended_after: datetime) -> set[str]:
        """The ids, of at most `DELETED_AT_ONCE` sessions, that are not final, or became so after that moment.

        So is one whose row cannot be read. One without a row needs no result.
        """

    async def check(self) -> None:
        """Make one cheap request; raises when the platform cannot be used."""

    async def aclose(self) -> None:
        """Release connections and files."""
