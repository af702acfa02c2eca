"""Failing a session and refunding its credit, exactly once, whatever crashes in between.

The order is the guarantee:

1. the intent (whom, why, and the `completed_at` stamp that we are going to write) goes into an outbox in Redis;
2. the session is moved to `failed`, if it is still open; the process that made that move owes the refund, and our stamp
   in the row tells that it was us even when the answer was lost;
3. the ledger says what was taken and whether it was refunded; if not, the refund function is called;
4. the intent is removed.

Where the platform offers it (`Platform.fail_and_refund`), steps 2 and 3 of a b2c session are one transaction that is
idempotent by session: then nothing hangs on a lock.

Redis may forget the last second in a failover. So a process remembers the intents that it has begun and that are not
settled, and writes one that is missing from the outbox again.

Any process may take up an intent at any step. `refund_credits` is not idempotent, so one process at a time works on an
intent, under a lock that is longer than a call can take; the lock is left to run out when the outcome of a call is not
known, so that the next look into the ledger sees what that call did. A lock names its worker, so that it need not run
out when that worker has surely ended (`wearon.queue.worker_files`) and had begun no call that pays again.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import cast

import structlog
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.events import Events
from wearon.observability.tracing import Tracing, outgoing_headers
from wearon.platform.base import (
    OPEN_STATUSES,
    Channel,
    Platform,
    PlatformError,
    PlatformUnavailable,
    Refund,
    RefundedAtOnce,
    Session,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.queue import keys
from wearon.queue.task import trace_of_session
from wearon.queue.worker_files import WorkerFiles
from wearon.redis.scripts import load_script
from wearon.refunds.intents import (
    SETTLED_S,
    Intent,
    RefundSettled,
    Settled,
    Settlement,
    dump,
    new_intent,
    read_intent,
)
from wearon.refunds.rules import NothingOwed, ReviewNeeded, refund_description, what_is_owed
from wearon.refunds.store import RefundIntents

log = structlog.get_logger()

LOCK_S = 20
"""As long as a refund call can be under way, from renewing the lock to the end of it: `RENEWED_WITHIN_S`, our time-out
for an answer (10 s) and the platform's own for a statement (8 s). It is renewed right before that call, because the
questions before it may have taken as long."""

RENEWED_WITHIN_S = 2.0
"""A renewal whose answer took longer, because Redis or this process stood still, has used up the lock's reserve."""

RETRY_S = (2.0, 8.0)
"""First and longest pause between tries at one intent; it is tried for ever. With the 4 s between two heartbeats, a due
refund is made within about 10 s of the platform's return."""

AT_ONCE = 10
"""Intents settled side by side: a platform that lets every request run into its time-out must not make the last of a
hundred shoppers wait for a quarter of an hour."""


PAYING = " paying"
"""Ends the token of a lock under which a call that pays again when repeated may be under way."""


class _AfterPostponing(StrEnum):
    """What becomes of the lock when an intent is postponed."""

    RELEASE = "release"
    LEAVE = "leave"
    """Until it runs out, if it is there."""
    HOLD = "hold"
    """Until it runs out. One that a failover lost along with the intent is written again: a call may be under way."""


_PAYERS = {UserRefund: "user", StoreRefund: "store", ShopperRefund: "shopper"}


class _RefundInDoubt(Exception):
    """A call that pays again when repeated was sent, and no answer came."""


class _LockLost(Exception):
    """The lock may have run out, so another process may work on the intent by now."""


@dataclass(slots=True)
class _Lock:
    """Held by one process while it settles an intent. `token` says that it is this one."""

    key: str
    token: str


class RefundOutbox(RefundIntents):
    """Writes intents, and settles them."""

    def __init__(
        self,
        redis: Redis,
        platform: Platform,
        events: Events,
        tracing: Tracing,
        files: WorkerFiles | None = None,
    ) -> None:
        """`files` name this worker, and those of this machine that have ended; None: a command, which has no lease."""
        super().__init__(redis)
        self._platform = platform
        self._events = events
        self._tracing = tracing
        self._files = files
        self._take_over = redis.register_script(load_script("refunds", "take_over_lock"))
        self._renew = redis.register_script(load_script("refunds", "renew_lock"))
        self._find = redis.register_script(load_script("refunds", "find_intent"))
        self._postpone_it = redis.register_script(load_script("refunds", "postpone"))
        self._begun: dict[str, Intent] = {}
        """What this process has taken up and, as far as it knows, no process has settled yet."""
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    @property
    def has_begun(self) -> bool:
        """Whether this process holds an intent that is to be settled, wherever Redis has it."""
        return bool(self._begun)

    async def fail(self, ref: SessionRef, request_id: str, error_message: str, reason: str) -> bool:
        """Fail the session and refund the credit, now if possible, else as soon as it is.

        Returns once the intent is safe: True if it is settled already. Raises redis errors when it could not be
        written: then nothing has happened.
        """
        intent = new_intent(ref, request_id, error_message, reason)
        return await self._begin(intent)

    async def refund_lost(self, session: Session, reason: str) -> bool:
        """Refund a session that was failed by us, and whose intent is lost. As `fail` otherwise.

        The stamp in the row shows that the move to `failed` was ours.
        """
        if session.completed_at is None:
            raise ValueError("a session that we fail has a completed_at")
        ref = session.ref
        intent = Intent(
            ref.channel,
            ref.owner_id,
            ref.session_id,
            session.request_id or "",
            session.error_message or "",
            reason,
            session.completed_at.isoformat(timespec="microseconds"),
        )
        return await self._begin(intent)

    async def _begin(self, intent: Intent) -> bool:
        if not await self._redis.hsetnx(keys.REFUNDS, intent.key, dump(intent)):
            earlier = cast("bytes | None", await self._redis.hget(keys.REFUNDS, intent.key))
            intent = read_intent(earlier) or intent
        self._begun[intent.key] = intent
        await self.settle(intent)
        return intent.key not in self._begun

    async def known(self) -> Sequence[Intent]:
        """All pending ones, and those that only this process remembers: a failover may have lost them."""
        found = self._begun | {intent.key: intent for intent in await self.pending()}
        return sorted(found.values(), key=lambda intent: intent.completed_at)

    async def settle_due(self) -> None:
        """Try the intents whose pause is over, as far as the platform takes some of them. Raises redis errors."""
        now = time.monotonic()
        due = [intent for intent in await self.known() if now >= self._not_before.get(intent.key, 0.0)]
        # Those that cannot be settled come last, else the oldest first.
        due.sort(key=lambda intent: self._tries.get(intent.key, 0))
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            for intent in some:
                if intent.is_late:
                    log.error("refund is late", age_s=round(intent.age_s), **_names(intent))
            became = await asyncio.gather(*(self.settle(intent) for intent in some))
            if all(settled is Settled.POSTPONED for settled in became):
                # The platform is away. Thousands may wait then, and a try at each costs Redis six commands.
                break

    async def settle(self, intent: Intent) -> Settled | None:
        """Take one intent as far as it goes; what cannot be done now stays in the outbox. Raises redis errors.

        None: another process works on it, or has settled it.
        """
        if outgoing_headers():  # within the run that failed, or a request
            return await self._settle(intent)
        with self._tracing.entry(
            "refund",
            SpanKind.INTERNAL,
            request_id=intent.request_id,
            traceparent=intent.traceparent,
            trace_id=trace_of_session(intent.session_id),
        ):
            return await self._settle(intent)

    async def _settle(self, intent: Intent) -> Settled | None:
        if not (lock := await self._lock(intent)):
            return None
        entry = await self._find(
            keys=[keys.REFUNDS, keys.REFUND_SETTLED + intent.key, lock.key],
            args=[intent.key, dump(intent), intent.completed_at, lock.token],
        )
        if entry is None:
            self._forget(intent)  # settled between our reading it and our getting the lock
            return None
        intent = read_intent(entry) or intent
        try:
            settlement = await self._fail_and_refund(intent, lock)
        except (_RefundInDoubt, _LockLost) as error:
            # A call may still be under way at the platform: the lock stays until it cannot be any more.
            doubt = isinstance(error, _RefundInDoubt)
            await self._postpone(intent, str(error), lock, _AfterPostponing.HOLD if doubt else _AfterPostponing.LEAVE)
        except PlatformError as error:
            await self._postpone(intent, str(error), lock, _AfterPostponing.RELEASE)
        except (RedisError, OSError):
            raise
        except Exception as error:
            # A mistake of ours must not keep the other intents from being settled.
            log.exception("refund failed in an unexpected way", **_names(intent))
            await self._postpone(intent, type(error).__name__, lock, _AfterPostponing.LEAVE)
        else:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(keys.REFUNDS, intent.key)
                pipe.hdel(keys.REFUND_ERRORS, intent.key)
                pipe.delete(lock.key)
                pipe.set(keys.REFUND_SETTLED + intent.key, intent.completed_at, ex=SETTLED_S)
                await pipe.execute()
            self._forget(intent)
            await self._events.publish(RefundSettled(intent.ref, intent.request_id, settlement))
            return settlement.settled
        return Settled.POSTPONED

    async def _lock(self, intent: Intent) -> _Lock | None:
        """Take the intent's lock; None when another process works on it, or may have paid it just now."""
        worker = f"{self._files.worker_id} " if self._files else ""
        lock = _Lock(keys.REFUND_LOCK + intent.key, worker + secrets.token_hex(8))
        if await self._redis.set(lock.key, lock.token, nx=True, ex=LOCK_S):
            return lock
        dead = self._files.dead if self._files else ()
        token = await self._take_over(keys=[lock.key], args=[lock.token, LOCK_S * 1000, PAYING, *dead])
        return _Lock(lock.key, token.decode()) if token else None

    def _forget(self, intent: Intent) -> None:
        for remembered in (self._begun, self._not_before, self._tries):
            remembered.pop(intent.key, None)

    async def _fail_and_refund(self, intent: Intent, lock: _Lock) -> Settlement:
        if intent.channel is Channel.B2C and not lock.token.endswith(PAYING):
            done = await self._platform.fail_and_refund(
                intent.ref, intent.error_message, intent.stamp, refund_description(intent.ref)
            )
            if done is not None:
                return _in_words_of(done, intent)
        moved = await self._platform.fail_session(intent.ref, intent.error_message, intent.stamp)
        session = await self._platform.find_session(intent.channel, intent.session_id)
        if session is None or session.ref != intent.ref:
            log.warning("nothing to fail: no such session of this owner", **_names(intent))
            return Settlement(Settled.NOT_OURS, "there is no such session of this owner")
        if session.status in OPEN_STATUSES:
            # It was locked, or what we read is older than what we wrote: a refund is not dropped for that.
            raise PlatformUnavailable(f"the session is {session.status} but could not be failed")
        if not moved and not _failed_by(intent, session):
            log.info("nothing to fail: the session is final", status=session.status, **_names(intent))
            return Settlement(Settled.NOT_OURS, f"somebody else had ended the session: it is {session.status}")
        log.info("session failed", reason=intent.reason, **_names(intent))
        return await self._refund(intent, session, lock)

    async def _refund(self, intent: Intent, session: Session, lock: _Lock) -> Settlement:
        verdict = what_is_owed(session, await self._platform.ledger_entries(session))
        if isinstance(verdict, NothingOwed):
            log.info("nothing to give back", why=verdict.why, **_names(intent))
            settled = Settled.ALREADY_REFUNDED if verdict.already_refunded else Settled.NOTHING_OWED
            return Settlement(settled, verdict.why)
        if isinstance(verdict, ReviewNeeded):
            entry = json.dumps(asdict(intent) | {"why": verdict.why})
            await self._redis.hset(keys.REFUNDS_IN_REVIEW, intent.key, entry)
            log.error("refund needs a person", why=verdict.why, **_names(intent))
            return Settlement(Settled.NEEDS_REVIEW, verdict.why)
        return await self._pay(intent, verdict, lock)

    async def _pay(self, intent: Intent, refund: Refund, lock: _Lock) -> Settlement:
        if lock.token.endswith(PAYING):
            raise _RefundInDoubt("a worker has died while it paid")
        asked = time.monotonic()
        token = lock.token + PAYING * isinstance(refund, UserRefund)
        if not await self._renew(keys=[lock.key], args=[lock.token, LOCK_S * 1000, token]):
            raise _LockLost("the platform took longer to answer than the lock holds")
        lock.token = token
        if time.monotonic() - asked > RENEWED_WITHIN_S:
            raise _LockLost("the lock could not be renewed in time")
        try:
            paid_now = await self._platform.give_back(refund)
        except PlatformUnavailable as error:
            if isinstance(refund, UserRefund):
                raise _RefundInDoubt(str(error)) from error
            raise  # a store's ledger refuses the second one, so the call may be repeated at once
        log.info(
            "credit given back" if paid_now else "refund is in the ledger already",
            kind=type(refund).__name__,
            amount=refund.amount,
            **_names(intent),
        )
        settled = Settled.REFUNDED if paid_now else Settled.ALREADY_REFUNDED
        return Settlement(settled, f"{refund.amount} credit{'s' * (refund.amount != 1)} to the {_PAYERS[type(refund)]}")

    async def _postpone(self, intent: Intent, why: str, lock: _Lock, after: _AfterPostponing) -> None:
        """Leave it in the outbox for later: it is there afterwards, even if Redis had lost it."""
        self._begun[intent.key] = intent
        tries = self._tries[intent.key] = self._tries.get(intent.key, 0) + 1
        pause_s = min(RETRY_S[0] * 2 ** (tries - 1), RETRY_S[1])
        self._not_before[intent.key] = time.monotonic() + pause_s
        log.warning("refund postponed", error=why, retry_in_s=pause_s, **_names(intent))
        is_there = await self._postpone_it(
            keys=[keys.REFUNDS, keys.REFUND_SETTLED + intent.key, lock.key, keys.REFUND_ERRORS],
            args=[intent.key, dump(intent), intent.completed_at, lock.token, why, after.value, LOCK_S * 1000],
        )
        if not is_there:
            self._forget(intent)
            return
        await self._events.publish(RefundSettled(intent.ref, intent.request_id, Settlement(Settled.POSTPONED, why)))


def _in_words_of(done: RefundedAtOnce, intent: Intent) -> Settlement:
    """What the platform's one transaction did, in the words of the two steps."""
    log.info("session failed and refunded at once", result=done.value, reason=intent.reason, **_names(intent))
    match done:
        case RefundedAtOnce.REFUNDED:
            return Settlement(Settled.REFUNDED, "the credits to the user, in one transaction with the failing")
        case RefundedAtOnce.ALREADY_REFUNDED:
            return Settlement(Settled.ALREADY_REFUNDED, "the refund is in the ledger already")
        case RefundedAtOnce.NOTHING_OWED:
            return Settlement(Settled.NOTHING_OWED, "no credits were used")
        case RefundedAtOnce.ENDED_ELSEWHERE:
            return Settlement(Settled.NOT_OURS, "somebody else had ended the session")
        case RefundedAtOnce.NO_SESSION:
            return Settlement(Settled.NOT_OURS, "there is no such session of this owner")


def _failed_by(intent: Intent, session: Session) -> bool:
    return session.status is Status.FAILED and session.completed_at == intent.stamp


def _names(intent: Intent) -> dict[str, str]:
    return {"session_id": intent.session_id, "channel": intent.channel.value, "request_id": intent.request_id}
