"""Audits the books: once an hour in one process of the fleet, and when an operator asks.

A session that has ended is read first, then the refund outbox, then the ledger. An intent is written before its session
fails and removed after its refund, so that a refund under way is seen in the one or the other.

An audit begins where the last one ended: with the oldest session that was open then, or had just ended.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from wearon.operations.audit.books import REPAIRABLE, Books, Finding, Kind
from wearon.operations.audit.paid import PaidSessions
from wearon.operations.audit.rules import Facts, judge, was_failed_by_us
from wearon.operations.audit.store import MOST_KEPT, BookStore
from wearon.operations.entries import Entry
from wearon.platform.base import (
    FINAL_STATUSES,
    LEDGERS_AT_ONCE,
    OPEN_STATUSES,
    PICTURE_URL_SECONDS,
    Channel,
    Platform,
    PlatformError,
    Session,
    SessionRef,
    SessionUnreadable,
    Status,
)
from wearon.platform.outages import repeat_every, through_outages
from wearon.refunds.intents import intent_key
from wearon.refunds.outbox import RefundOutbox

log = structlog.get_logger()

EVERY_S = 3600 - 300
"""An audit is due when the last one began so long ago: with `ASK_S`, once in some 60 minutes."""

ASK_S = 600.0
"""How often each process asks whether an audit is due: six Redis commands an hour."""

SINCE = timedelta(days=2)
"""How far an audit goes back when there was none before, and how long a finding that no repair settles is shown."""

JUST_ENDED = timedelta(minutes=2)
"""What ended later than this is left for the next audit: the platform's cron fails and refunds in two steps, history is
written after the session, and a refund call that Redis has forgotten may still be under way for 20 s."""

PICTURE_KEPT = timedelta(seconds=PICTURE_URL_SECONDS, minutes=-30)
"""A result may be deleted after 6 hours; it is looked for while its URL is valid for half an hour or more."""

PAGE = 400
"""Sessions asked for at once: ten requests for ledgers, and as JSON 160 KB."""

PICTURES_AT_ONCE = 4

REQUESTS_PER_S = 20.0
"""To the platform. The worker itself makes as many when the account's 300 pictures a minute are used up."""

MOST_FOUND = 2000
"""Missing refunds after which an audit ends, and other findings that it names: all others are only counted."""

MOST_SEARCHED = 20
"""Missing refunds that an audit looks for in the ledgers of all other owners: each is a slow query."""

REPAIRED_AT_ONCE = 10

EXAMPLES = 5
"""Findings in the status of the fleet."""


@dataclass
class Audited:
    """What an audit has looked at and found."""

    created_from: datetime
    """The first moment that it looked at."""
    history_from: datetime
    """What ended before is not compared with the history."""
    next_from: datetime
    """Everything created before this moment has been audited, and is not audited again."""
    suspects: frozenset[str] = frozenset()
    """Ids of sessions whose refund went to another owner when they were last looked at."""
    sessions: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Findings by kind, also those that are not named."""
    settled: list[Finding] = field(default_factory=list)
    """Repaired: their refunds are in the ledger or on their way."""
    searched: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it must end early because it has found so much."""
        return self.counts[Kind.REFUND_MISSING] >= MOST_FOUND

    def add(self, findings: Iterable[Finding]) -> None:
        """Count the findings, and name them while there is room: always for those that can be repaired."""
        for finding in findings:
            self.counts[finding.kind] += 1
            if finding.kind in REPAIRABLE or len(self.findings) < MOST_FOUND:
                self.findings.append(finding)

    def hold(self, moment: datetime) -> None:
        """Let the next audit begin no later than at this moment."""
        self.next_from = min(self.next_from, moment)


class Auditor:
    """Compares sessions, ledgers, stored pictures and history."""

    def __init__(
        self,
        redis: Redis,
        platform: Platform,
        outbox: RefundOutbox,
        *,
        history_hours: float,
        requests_per_s: float = REQUESTS_PER_S,
        clock: Callable[[], Awaitable[datetime]] | None = None,
    ) -> None:
        """`history_hours`: for how long the history of a session is kept. `clock`: the Redis server's."""
        self._store = BookStore(redis)
        self._platform = platform
        self._paid = PaidSessions(redis, platform, requests_per_s)
        self._outbox = outbox
        self._history_kept = timedelta(hours=history_hours) * 0.9  # it expires while an audit is under way
        self._requests_per_s = requests_per_s
        self._ask_clock = clock or self._store.now
        self._began = (datetime.now(UTC), time.monotonic())

    async def run(self) -> None:
        """Audit when it is this process's turn, until cancelled."""
        await asyncio.sleep(ASK_S * random.uniform(0.5, 1.0))  # noqa: S311 (not all processes at once, nor at a start)
        await repeat_every(ASK_S, self.audit_in_turn, trouble="audit postponed")

    async def audit_in_turn(self) -> None:
        """Audit what is new, if no process has within the hour. Raises platform and redis errors."""
        if not await self._store.take_turn(EVERY_S):
            return
        try:
            await self.audit()
        except PlatformError as error:
            await self._note_failure(error)
            await self._store.release_turn()
            raise

    async def audit(
        self,
        since: timedelta | None = None,
        *,
        repair: bool = False,
        on_progress: Callable[[int], None] = lambda _sessions: None,
    ) -> Audited:
        """Audit what was created within `since`, or what is new. Raises platform and redis errors.

        `repair`: refunds that are missing go through the outbox. `on_progress` gets how many sessions were looked at.
        """
        # Where the next audit begins must not depend on whose clock is wrong.
        self._began = (await self._ask_clock(), time.monotonic())
        books, known = await self._store.read()
        now = self._now()
        books = books or self._no_books(now)
        begin = max(books.next_from, now - SINCE) if since is None else now - since
        audited = Audited(
            begin,
            history_from=max(books.history_from, now - self._history_kept),
            next_from=now - JUST_ENDED,
            suspects=frozenset(finding.session_id for finding in known if finding.kind == Kind.REFUND_OF_ANOTHER),
        )
        for channel in Channel:
            first_open = partial(self._platform.list_sessions, channel, OPEN_STATUSES, now, 1)
            for oldest in await through_outages(first_open):
                audited.hold(oldest.created_at)
        async for batch in self._ended(audited.created_from, now):
            await self._look_at(batch, audited)
            on_progress(audited.sessions)
            if audited.is_full:
                audited.hold(audited.created_from)
                break
        outside = [finding for finding in known if self._is_outside(finding, audited)]
        await self._look_again([finding for finding in outside if finding.kind != Kind.SESSION_MISSING], audited)
        await self._look_for_rows([each for each in outside if each.kind == Kind.SESSION_MISSING], audited, now)
        if repair:
            await self._repair(audited)
        if since is not None and begin > books.next_from:
            audited.hold(books.next_from)  # what lies between the last audit and this one has not been audited yet
        await self._keep(audited, books.history_from, {finding.session_id for finding in known})
        return audited

    def _now(self) -> datetime:
        """The present, by the clock of the Redis server."""
        asked, at = self._began
        return asked + timedelta(seconds=time.monotonic() - at)

    async def _ended(self, created_from: datetime, created_before: datetime) -> AsyncIterator[Sequence[Session]]:
        """All of both channels, in batches whose ledgers can be asked for at once; in the order of creation."""
        for channel in Channel:
            after: Session | None = None
            ended = partial(
                self._platform.list_sessions, channel, FINAL_STATUSES, created_before, PAGE, created_from=created_from
            )
            while page := await through_outages(partial(ended, after=after)):
                after = page[-1]
                for start in range(0, len(page), LEDGERS_AT_ONCE):
                    yield page[start : start + LEDGERS_AT_ONCE]

    async def _look_at(self, batch: Sequence[Session], audited: Audited) -> None:
        """Judge ended sessions of one channel."""
        now = self._now()
        settled = []
        for session in batch:
            if session.completed_at is not None and session.completed_at > now - JUST_ENDED:
                audited.hold(session.created_at)
            else:
                settled.append(session)
        if not settled:
            return
        failed = any(session.status is Status.FAILED for session in settled)
        outstanding = await self._store.outstanding() if failed else set()
        ledgers = await through_outages(lambda: self._platform.ledgers(settled))
        pictures = await self._look_for_pictures(settled, now - PICTURE_KEPT)
        histories = await self._read_histories(settled, audited.history_from)
        for session in settled:
            facts = Facts(
                session,
                ledgers[session.ref],
                is_on_its_way=intent_key(session.ref) in outstanding,
                has_picture=pictures.get(session.ref),
                history=histories.get(session.ref),
            )
            audited.add(await self._judge(facts, audited))
        audited.sessions += len(settled)
        await asyncio.sleep((1 + len(pictures)) / self._requests_per_s)

    async def _judge(self, facts: Facts, audited: Audited) -> Sequence[Finding]:
        findings = list(judge(facts))
        if is_missing := _is_refund_missing(findings):
            # Asked for alone: of many sessions' rows a proxy may have left some out, without a sign.
            facts = replace(facts, ledger=await through_outages(lambda: self._platform.ledger_entries(facts.session)))
            await asyncio.sleep(1 / self._requests_per_s)
            findings = list(judge(facts))
            is_missing = _is_refund_missing(findings)
        if facts.session.ref.session_id in audited.suspects or (is_missing and audited.searched < MOST_SEARCHED):
            audited.searched += 1
            try:
                elsewhere = await self._platform.refunds_naming(facts.session)
            except PlatformError as error:  # the others must not wait for a query that takes too long
                log.warning("not looked for in all ledgers", session_id=facts.session.ref.session_id, error=str(error))
                return findings
            findings = list(judge(replace(facts, elsewhere=elsewhere)))
        return findings

    async def _look_for_pictures(self, sessions: Sequence[Session], ended_from: datetime) -> dict[SessionRef, bool]:
        refs = [
            session.ref
            for session in sessions
            if session.status is Status.COMPLETED and session.completed_at and session.completed_at > ended_from
        ]
        found: list[bool] = []
        for start in range(0, len(refs), PICTURES_AT_ONCE):
            some = refs[start : start + PICTURES_AT_ONCE]
            found += await asyncio.gather(*map(self._has_picture, some))
        return dict(zip(refs, found, strict=True))

    async def _has_picture(self, ref: SessionRef) -> bool:
        return await through_outages(lambda: self._platform.has_picture(ref))

    async def _read_histories(
        self, sessions: Sequence[Session], ended_from: datetime
    ) -> dict[SessionRef, Sequence[Entry]]:
        refs = [session.ref for session in sessions if session.completed_at and session.completed_at > ended_from]
        if not refs:
            return {}
        return dict(zip(refs, await self._store.histories([ref.session_id for ref in refs]), strict=True))

    def _is_outside(self, finding: Finding, audited: Audited) -> bool:
        """Whether an earlier finding lies outside of what this audit looks at anyway, and is still shown."""
        is_shown = finding.kind in REPAIRABLE or finding.created_at > self._now() - SINCE
        return is_shown and finding.created_at < audited.created_from

    async def _look_again(self, findings: Sequence[Finding], audited: Audited) -> None:
        """Judge the sessions of earlier findings. One that is gone, or cannot be read any more, has no findings."""
        refs = {SessionRef(Channel(each.channel), each.owner_id, each.session_id) for each in findings}
        for channel in Channel:
            sessions = [await self._find(ref) for ref in sorted(refs, key=str) if ref.channel is channel]
            ended = [session for session in sessions if session is not None and session.status in FINAL_STATUSES]
            for start in range(0, len(ended), LEDGERS_AT_ONCE):
                await self._look_at(ended[start : start + LEDGERS_AT_ONCE], audited)

    async def _look_for_rows(self, earlier: Sequence[Finding], audited: Audited, now: datetime) -> None:
        """Find the sessions that were paid for and whose rows are gone: those of earlier findings, and new ones."""
        audited.add(await self._paid.still_without_row(earlier))
        try:
            async for findings in self._paid.without_row(audited.created_from, now - JUST_ENDED):
                audited.add(findings)
        except ResponseError as error:  # somebody else's key, perhaps: refunds must not wait for a list for people
            log.warning("list of sessions cannot be read, so none was looked for in it", error=str(error))

    async def _find(self, ref: SessionRef) -> Session | None:
        try:
            return await through_outages(lambda: self._platform.find_session(ref.channel, ref.session_id))
        except SessionUnreadable:
            return None

    async def _repair(self, audited: Audited) -> None:
        """Refund what is missing, and look whether it is in the ledger or on its way now."""
        missing = [finding for finding in audited.findings if finding.kind in REPAIRABLE]
        for start in range(0, len(missing), REPAIRED_AT_ONCE):
            await asyncio.gather(*map(self._refund, missing[start : start + REPAIRED_AT_ONCE]))
        again = replace(audited, findings=[], counts=Counter(), searched=MOST_SEARCHED)
        await self._look_again(missing, again)
        left = {finding.session_id for finding in again.findings if finding.kind in REPAIRABLE}
        audited.settled = [finding for finding in missing if finding.session_id not in left]
        audited.findings = [each for each in audited.findings if each not in audited.settled]
        audited.counts.subtract(finding.kind for finding in audited.settled)

    async def _refund(self, finding: Finding) -> None:
        session = await self._find(SessionRef(Channel(finding.channel), finding.owner_id, finding.session_id))
        if session is not None and session.status is Status.FAILED and was_failed_by_us(session):
            await self._outbox.refund_lost(session, "found by the audit: the session failed and was not refunded")

    async def _keep(self, audited: Audited, history_from: datetime, known: set[str]) -> None:
        order = list(Kind)
        audited.findings.sort(key=lambda finding: (order.index(Kind(finding.kind)), finding.created_at))
        for finding in audited.findings[MOST_KEPT:]:
            if finding.kind in REPAIRABLE:
                audited.hold(finding.created_at)
        for finding in audited.findings[:MOST_KEPT]:
            if finding.session_id not in known:
                log.error("books do not agree", **finding.model_dump(mode="json", exclude={"created_at"}))
        books = Books(
            at=self._now(),
            next_from=audited.next_from,
            history_from=history_from,
            sessions=audited.sessions,
            counts={kind.value: audited.counts[kind] for kind in order if audited.counts[kind]},
            examples=audited.findings[:EXAMPLES],
        )
        await self._store.write(books, audited.findings)

    async def _note_failure(self, error: Exception) -> None:
        books, findings = await self._store.read()
        books = books or self._no_books(self._now())
        await self._store.write(books.model_copy(update={"error": str(error)}), findings)

    @staticmethod
    def _no_books(now: datetime) -> Books:
        """Before the first audit, or after Redis has lost the last one, and the history with it."""
        return Books(next_from=now - SINCE, history_from=now)


def _is_refund_missing(findings: Iterable[Finding]) -> bool:
    return any(finding.kind is Kind.REFUND_MISSING for finding in findings)
