"""The story of one session: what was done for it, how it ended, and where the credit is.

The platform knows the row and the ledger, the journal what our runs did, the outbox what is still to be given back,
the queue where a session is that nobody has ended. Each is asked once; what one of them does not know is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from wearon.logs import Redaction
from wearon.overview.models import (
    LedgerLine,
    LogLine,
    PictureRef,
    SessionStory,
    SessionSummary,
)
from wearon.overview.refund_story import RefundFacts, tell_refund
from wearon.overview.time_line import tell_events
from wearon.overview.whereabouts import Place, Whereabouts, tell_place
from wearon.platform.base import OPEN_STATUSES, Channel, Platform, Session, Status
from wearon.platform.session_rows import as_uuid
from wearon.tryon.charges import SHOPPER
from wearon.tryon.journal import Entry, Journal, PictureEntry, RunEntry
from wearon.tryon.refunds import RefundOutbox

MOST_FOUND = 50

MAX_TERM = 200
"""Characters: no id is longer."""

INPUT = "input/"
RESULT = "result"

ROLES = ("Person", "Garment")


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A session's pictures by name, and where each lies in our storage (None: it does not)."""

    refs: Sequence[PictureRef]
    paths: dict[str, str]


class Stories:
    """Puts stories together. All methods raise redis errors and PlatformError."""

    def __init__(self, redis: Redis, platform: Platform, journal: Journal, redaction: Redaction) -> None:
        """`redaction` masks the e-mail addresses of shoppers, and whatever else must not be seen."""
        self._platform = platform
        self._journal = journal
        self._outbox = RefundOutbox(redis, platform)
        self._whereabouts = Whereabouts(redis)
        self._clean = redaction.clean_text

    async def find(self, term: str) -> Sequence[SessionSummary]:
        """Sessions whose session, request, user or store id is `term`, newest first."""
        if not term or len(term) > MAX_TERM:
            return []
        sessions = list(await self._platform.search_sessions(term, MOST_FOUND))
        if as_uuid(term) is None and (session := await self._of_b2c_request(term)) is not None:
            sessions.append(replace(session, request_id=term))
        sessions.sort(key=lambda session: session.created_at, reverse=True)
        return [self._summary(session) for session in sessions[:MOST_FOUND]]

    async def tell(self, session_id: str) -> SessionStory | None:
        """All that is known of one session; None: there is none."""
        session = await self._session(session_id)
        if session is None:
            return None
        session = replace(session, error_message=session.error_message and self._clean(session.error_message))
        entries = await self._journal.read(session.ref.session_id)
        place = await self._place(session)
        refund = tell_refund(await self._refund_facts(session), self._clean)
        last_run = next((entry for entry in reversed(entries) if isinstance(entry, RunEntry)), None)
        reason = _reason(session, last_run)
        summary = self._summary(session)
        if summary.request_id is None and last_run is not None:
            summary.request_id = last_run.request_id or None  # b2c: the table has none
        return SessionStory(
            session=summary,
            credits_used=session.credits_used,
            processing_time_ms=session.processing_time_ms,
            input_tokens=session.input_tokens,
            output_tokens=session.output_tokens,
            estimated_cost_usd=session.estimated_cost_usd,
            model=next(
                (entry.model for entry in reversed(entries) if isinstance(entry, RunEntry) and entry.model), None
            ),
            where=tell_place(session, place, reason),
            reason=reason,
            events=tell_events(session, entries, refund),
            refund=refund,
            log=_log_of(entries),
            pictures=_pictures(session, entries).refs,
        )

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        """A URL for ten minutes; None when there is no such picture, or it does not lie in our storage."""
        session = await self._session(session_id)
        if session is None:
            return None
        entries = await self._journal.read(session.ref.session_id) if name.startswith(INPUT) else []
        path = _pictures(session, entries).paths.get(name)
        return None if path is None else await self._platform.sign_for_a_look(path)

    async def _session(self, session_id: str) -> Session | None:
        canonical = as_uuid(session_id)
        if canonical is None:
            return None
        for channel in Channel:
            if (session := await self._platform.find_session(channel, canonical)) is not None:
                return session
        return None

    async def _of_b2c_request(self, request_id: str) -> Session | None:
        """That channel's table has no request ids; the journal knows the recent ones."""
        session_id = await self._journal.session_of_request(request_id)
        canonical = as_uuid(session_id or "")
        return await self._platform.find_session(Channel.B2C, canonical) if canonical else None

    async def _place(self, session: Session) -> Place | None:
        """Only of a session that is open: the others are nowhere."""
        return await self._whereabouts.find(session.ref) if session.status in OPEN_STATUSES else None

    async def _refund_facts(self, session: Session) -> RefundFacts:
        if session.status is not Status.FAILED:
            return RefundFacts(session)
        ledger = await self._platform.ledger_entries(session)
        return RefundFacts(
            session,
            [LedgerLine(type=line.type.value, description=self._without_address(line.description)) for line in ledger],
            await self._outbox.outstanding_of(session.ref),
            await self._outbox.by_hand_of(session.ref),
        )

    def _without_address(self, description: str) -> str:
        """What follows is an address, however odd it is."""
        text, names_shopper, _ = description.partition(SHOPPER)
        return self._clean(text) + (f"{SHOPPER}***)" if names_shopper else "")

    def _summary(self, session: Session) -> SessionSummary:
        return SessionSummary(
            session_id=session.ref.session_id,
            channel=session.ref.channel.value,
            owner_id=session.ref.owner_id,
            request_id=session.request_id,
            status=session.status.value,
            created_at=session.created_at,
            completed_at=session.completed_at,
            error_message=session.error_message and self._clean(session.error_message),
        )


def _reason(session: Session, last_run: RunEntry | None) -> str | None:
    """The operator's reason: what our last run said, unless the session completed after all."""
    if last_run is None or session.status is Status.COMPLETED:
        return None
    return last_run.reason or None


def _log_of(entries: Sequence[Entry]) -> list[LogLine]:
    return [
        LogLine(at=line.at, level=line.level, event=line.event, fields=line.fields)
        for entry in entries
        if isinstance(entry, RunEntry)
        for line in entry.lines
    ]


def _pictures(session: Session, entries: Sequence[Entry]) -> _Pictures:
    """The inputs as the last run knew them, and the result once there is one."""
    inputs: Sequence[PictureEntry] = next(
        (entry.pictures for entry in reversed(entries) if isinstance(entry, RunEntry) and entry.pictures), ()
    )
    refs = [
        PictureRef(
            name=f"{INPUT}{number}", label=_label(number), available=picture.path is not None, where=picture.host
        )
        for number, picture in enumerate(inputs)
    ]
    paths = {f"{INPUT}{number}": picture.path for number, picture in enumerate(inputs) if picture.path is not None}
    done = session.status is Status.COMPLETED
    refs.append(PictureRef(name=RESULT, label="Result", available=done))
    if done:
        paths[RESULT] = session.ref.picture_path
    return _Pictures(refs, paths)


def _label(number: int) -> str:
    return ROLES[number] if number < len(ROLES) else f"Accessory {number - len(ROLES) + 1}"
