"""The history of one session: what was done for it, how it ended, and where the credit is.

The platform has the row and the ledger, `history` what our attempts did, the outbox which refund is outstanding, and
the queue where an open session is. Each is asked once; what one of them does not know is left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from redis.asyncio import Redis

from wearon.observability.redaction import Redaction
from wearon.operations.entries import Entry, RunEntry
from wearon.operations.history import HistoryStore
from wearon.operations.location import JobFinder, Location, tell_location
from wearon.operations.models import (
    Advice,
    LedgerLine,
    PictureRef,
    RefundHistory,
    RunningJob,
    SessionHistory,
    SessionSummary,
)
from wearon.operations.reasons import CANCELLED, CREDIT, advise
from wearon.operations.refund_history import tell_refund
from wearon.operations.status import StatusReader
from wearon.operations.time_line import Underway, tell_events
from wearon.platform.base import OPEN_STATUSES, Channel, Platform, Session, SessionRef, Status
from wearon.platform.session_rows import as_uuid
from wearon.refunds.rules import SHOPPER
from wearon.refunds.store import RefundIntents
from wearon.tryon.input_images import InputImage, describe_images
from wearon.tryon.retry_policy import CANCELLED_MESSAGE

MOST_FOUND = 50

MAX_TERM = 200
"""Characters: no id is longer."""

INPUT = "input/"
RESULT = "result"

ROLES = ("Person", "Garment")


class SessionHistories:
    """Finds sessions and reads their histories. All methods raise redis errors and PlatformError."""

    def __init__(
        self, redis: Redis, platform: Platform, store: HistoryStore, redaction: Redaction, status: StatusReader
    ) -> None:
        """`redaction` masks secrets and the e-mail addresses of shoppers; `status` knows what runs."""
        self._status = status
        self._jobs = JobFinder(redis)
        self._platform = platform
        self._store = store
        self._refunds = RefundIntents(redis)
        self._clean = redaction.clean_text

    async def find(self, term: str) -> Sequence[SessionSummary]:
        """Sessions whose session, request, user or store id is `term`, newest first, at most 50."""
        return [self.summary(session) for session in await self.search(term, MOST_FOUND)]

    async def search(self, term: str, limit: int, created_before: datetime | None = None) -> Sequence[Session]:
        """The rows of these sessions; with `created_before` the next page."""
        if not term or len(term) > MAX_TERM:
            return []
        sessions = list(await self._platform.search_sessions(term, limit, created_before))
        session = await self._of_b2c_request(term) if as_uuid(term) is None else None
        if session is not None and (created_before is None or session.created_at < created_before):
            sessions.append(replace(session, request_id=term))
        sessions.sort(key=lambda session: session.created_at, reverse=True)
        return sessions[:limit]

    async def read(self, session_id: str) -> SessionHistory | None:
        """Everything that is known of one session; None: there is no such session."""
        session = await self._session(session_id)
        if session is None:
            return None
        session = replace(session, error_message=session.error_message and self._clean(session.error_message))
        entries = await self._store.read(session.ref.session_id)
        # An ended session is nowhere in Redis.
        is_open = session.status in OPEN_STATUSES
        location = await self._jobs.find(session.ref) if is_open else None
        running = await self._running(session.ref) if is_open else None
        refund = await self._refund(session)
        runs = [entry for entry in entries if isinstance(entry, RunEntry)]
        last_run = runs[-1] if runs else None
        reason = _reason(session, last_run)
        summary = self.summary(session)
        if summary.request_id is None:  # b2c: the table has none
            summary.request_id = (last_run and last_run.request_id) or (running and running.request_id) or None
        return SessionHistory(
            session=summary,
            credits_used=session.credits_used,
            processing_time_ms=session.processing_time_ms,
            input_tokens=session.input_tokens,
            output_tokens=session.output_tokens,
            estimated_cost_usd=session.estimated_cost_usd,
            model=next((run.model for run in reversed(runs) if run.model), None),
            where=tell_location(session, location, reason, running, last_run),
            reason=reason,
            advice=_advice(session, last_run, refund),
            events=tell_events(session, entries, refund, _underway(location, running)),
            refund=refund,
            log=[line for run in runs for line in run.lines],
            pictures=self._pictures(session, entries, location),
        )

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        """A URL for ten minutes; None when there is no such picture, or it does not lie in our storage."""
        session = await self._session(session_id)
        if session is None:
            return None
        inputs = name.startswith(INPUT)
        entries = await self._store.read(session.ref.session_id) if inputs else []
        location = await self._jobs.find(session.ref) if inputs and session.status in OPEN_STATUSES else None
        pictures = self._pictures(session, entries, location)
        path = next((picture.path for picture in pictures if picture.name == name), None)
        return None if path is None else await self._platform.sign_for_a_look(path)

    async def _running(self, ref: SessionRef) -> RunningJob | None:
        return next((job for job in await self._status.running() if job.session_id == ref.session_id), None)

    def _pictures(self, session: Session, entries: Sequence[Entry], location: Location | None) -> list[PictureRef]:
        """The inputs of the last attempt that had any, or of the task that waits, and the result once there is one."""
        inputs: Sequence[InputImage] = next(
            (entry.pictures for entry in reversed(entries) if isinstance(entry, RunEntry) and entry.pictures), ()
        )
        if not inputs and location and location.task:
            inputs = describe_images(location.task.image_urls, self._platform.stored_path)
        return _picture_refs(session, inputs)

    async def _session(self, session_id: str) -> Session | None:
        canonical = as_uuid(session_id)
        if canonical is None:
            return None
        for channel in Channel:
            if (session := await self._platform.find_session(channel, canonical)) is not None:
                return session
        return None

    async def _of_b2c_request(self, request_id: str) -> Session | None:
        """That channel's table has no request ids; our own history has the recent ones."""
        session_id = await self._store.session_of_request(request_id)
        canonical = as_uuid(session_id or "")
        return await self._platform.find_session(Channel.B2C, canonical) if canonical else None

    async def _refund(self, session: Session) -> RefundHistory:
        if session.status is not Status.FAILED:
            return tell_refund(session, self._clean)
        ledger = await self._platform.ledger_entries(session)
        return tell_refund(
            session,
            self._clean,
            [LedgerLine(type=line.type.value, description=self._without_address(line.description)) for line in ledger],
            await self._refunds.outstanding_of(session.ref),
            await self._refunds.in_review_of(session.ref),
        )

    def _without_address(self, description: str) -> str:
        """The description with its address masked: everything after SHOPPER is one, in whatever form."""
        text, names_shopper, _ = description.partition(SHOPPER)
        return self._clean(text) + (f"{SHOPPER}***)" if names_shopper else "")

    def summary(self, session: Session) -> SessionSummary:
        """What a list says of a row."""
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
    """The operator's reason: that of our last attempt, unless the session completed after all."""
    if last_run is None or session.status is Status.COMPLETED:
        return None
    return last_run.reason or None


def _advice(session: Session, last_run: RunEntry | None, refund: RefundHistory) -> Advice | None:
    if session.status is not Status.FAILED:
        return None
    if session.error_message == CANCELLED_MESSAGE:
        advice = CANCELLED
    else:
        advice = advise(last_run.category, last_run.reason) if last_run else advise(None, "")
    return advice.model_copy(update={"clerk": advice.clerk + CREDIT.get(refund.state, "")})


def _underway(location: Location | None, running: RunningJob | None) -> Underway | None:
    if location is None:
        return None
    return Underway(running, location.task.created_at if location.task else None, location.queued_at)


def _picture_refs(session: Session, inputs: Sequence[InputImage]) -> list[PictureRef]:
    refs = [
        PictureRef(
            name=f"{INPUT}{number}",
            label=_label(number),
            available=picture.path is not None,
            where=picture.host,
            path=picture.path,
        )
        for number, picture in enumerate(inputs)
    ]
    done = session.status is Status.COMPLETED
    path = session.ref.picture_path if done else None
    return [*refs, PictureRef(name=RESULT, label="Result", available=done, path=path)]


def _label(number: int) -> str:
    return ROLES[number] if number < len(ROLES) else f"Accessory {number - len(ROLES) + 1}"
