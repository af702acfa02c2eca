"""Failing a session and giving its credit back, exactly once, whatever crashes in between.

The order is the guarantee:

1. the intent (whom, why, and the `completed_at` stamp that we are going to write) goes into an outbox in Redis;
2. the session is moved to `failed`, if it is still open; whoever made that move owes the refund, and our stamp in the
   row tells that it was us even when the answer was lost;
3. the ledger says what was taken and whether it has been given back; if not, the refund function is called;
4. the intent is removed.

Where the platform offers it (`Platform.fail_and_refund`), steps 2 and 3 of a b2c session are one transaction that is
idempotent by session: then nothing hangs on a lock.

Redis may forget the last second in a failover. So a process remembers the intents that it has begun and that are not
settled, and writes one that is missing from the outbox again.

Any process may take up an intent at any step. `refund_credits` is not idempotent, so one process at a time works on an
intent, under a lock that is longer than a call can take; the lock is left to run out when the outcome of a call is not
known, so that the next look into the ledger sees what that call did.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

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
from wearon.tracing import Kind, Tracing, outgoing_headers
from wearon.tryon import keys
from wearon.tryon.charges import ByHand, NothingOwed, refund_description, what_to_give_back
from wearon.tryon.progress import Settled, Settlement
from wearon.tryon.refund_intents import (
    FIND,
    POSTPONE,
    SETTLED_S,
    Intent,
    NeedsAPerson,
    Outstanding,
    dump,
    intent_key,
    load,
    load_or_none,
)
from wearon.tryon.task import trace_of_session

log = structlog.get_logger()

LOCK_S = 20
"""As long as a refund call can be under way, from renewing the lock to the end of it: `RENEWED_WITHIN_S`, our time-out
for an answer (10 s) and the platform's own for a statement (8 s). It is renewed right before that call, because the
questions before it may have taken as long."""

RENEWED_WITHIN_S = 2.0
"""A renewal whose answer took longer, because Redis or this process stood still, has used up the lock's reserve."""

RETRY_S = (2.0, 8.0)
"""First and longest pause between tries at one intent; it is tried for ever. With the 4 s between two beats, what is
due is given back within about 10 s of the platform's return."""

AT_ONCE = 10
"""Intents settled side by side: a platform that lets every request run into its time-out must not make the last of a
hundred shoppers wait for a quarter of an hour."""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""


class _AfterPostponing(StrEnum):
    """What becomes of the lock when an intent is postponed."""

    RELEASE = "release"
    LEAVE = "leave"
    """Until it runs out, if it is there."""
    HOLD = "hold"
    """The same, and one that a failover lost along with the intent is written again: a call may be under way."""


_PAYERS = {UserRefund: "user", StoreRefund: "store", ShopperRefund: "shopper"}


class _RefundInDoubt(Exception):
    """A call that pays again when repeated was sent, and no answer came."""


class _LockLost(Exception):
    """So much time has passed that another process may be at the same intent by now."""


@dataclass(frozen=True, slots=True)
class _Lock:
    """Held by one process while it settles an intent. `token` says that it is this one."""

    key: str
    token: str


class RefundOutbox:
    """Intents in Redis, and what settles them."""

    def __init__(
        self,
        redis: Redis,
        platform: Platform,
        on_moved: Callable[[Settlement], Awaitable[None]] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`on_moved` is told of each intent that was settled or postponed; it must not raise."""
        self._redis = redis
        self._platform = platform
        self._on_moved = on_moved
        self._tracing = tracing or Tracing()
        self._renew = redis.register_script(RENEW)
        self._find = redis.register_script(FIND)
        self._postpone_it = redis.register_script(POSTPONE)
        self._begun: dict[str, Intent] = {}
        """What this process has taken up and nobody has settled yet, as far as it knows."""
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    @property
    def has_begun(self) -> bool:
        """Whether this process holds an intent that is to be settled, wherever Redis has it."""
        return bool(self._begun)

    async def fail(self, ref: SessionRef, request_id: str, error_message: str, reason: str) -> bool:
        """Fail the session and give the credit back, now if possible, else as soon as it is.

        Returns once the intent is safe: True if it is settled already. Raises redis errors when it could not be
        written: then nothing has happened.
        """
        intent = Intent(
            ref.channel,
            ref.owner_id,
            ref.session_id,
            request_id,
            error_message,
            reason,
            datetime.now(UTC).isoformat(timespec="microseconds"),
            outgoing_headers().get("traceparent"),
        )
        if not await self._redis.hsetnx(keys.REFUNDS, intent.key, dump(intent)):
            earlier = await self._redis.hget(keys.REFUNDS, intent.key)
            intent = load(earlier) if earlier else intent
        self._begun[intent.key] = intent
        await self.settle(intent)
        return intent.key not in self._begun

    async def pending(self) -> Sequence[Intent]:
        """All intents that are not settled, oldest first."""
        return sorted(await self._read(keys.REFUNDS), key=lambda intent: intent.completed_at)

    async def known(self) -> Sequence[Intent]:
        """The same, and those that only this process remembers: a failover may have lost them."""
        found = self._begun | {intent.key: intent for intent in await self.pending()}
        return sorted(found.values(), key=lambda intent: intent.completed_at)

    async def outstanding(self) -> Sequence[Outstanding]:
        """Those in the outbox with the last try's error, for people."""
        errors = await self._redis.hgetall(keys.REFUND_ERRORS)
        return [
            Outstanding(intent, errors.get(intent.key.encode(), b"").decode(errors="replace"))
            for intent in await self.pending()
        ]

    async def by_hand(self) -> Sequence[NeedsAPerson]:
        """What a person has to put right, oldest first."""
        reasons = await self._redis.hgetall(keys.REFUNDS_BY_HAND)
        intents = sorted(await self._read(keys.REFUNDS_BY_HAND), key=lambda intent: intent.completed_at)
        return [NeedsAPerson(intent, json.loads(reasons[intent.key.encode()]).get("why", "")) for intent in intents]

    async def outstanding_of(self, ref: SessionRef) -> Outstanding | None:
        """The session's intent, with the last try's error; None: there is none that can be read."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.REFUNDS, intent_key(ref))
            pipe.hget(keys.REFUND_ERRORS, intent_key(ref))
            entry, error = await pipe.execute()
        intent = load_or_none(entry)
        return None if intent is None else Outstanding(intent, (error or b"").decode(errors="replace"))

    async def by_hand_of(self, ref: SessionRef) -> NeedsAPerson | None:
        """The session's case for a person; None: there is none that can be read."""
        entry = await self._redis.hget(keys.REFUNDS_BY_HAND, intent_key(ref))
        intent = load_or_none(entry)
        return None if intent is None else NeedsAPerson(intent, str(json.loads(entry).get("why", "")))

    async def put_right(self, intent: Intent) -> None:
        """A person has done it: forget the case."""
        await self._redis.hdel(keys.REFUNDS_BY_HAND, intent.key)

    async def settle_due(self) -> None:
        """Try every intent whose pause is over. Raises redis errors."""
        now = time.monotonic()
        due = [intent for intent in await self.known() if now >= self._not_before.get(intent.key, 0.0)]
        for intent in due:
            if intent.is_late:
                log.error("refund is late", age_s=round(intent.age_s), **_names(intent))
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self.settle(intent) for intent in due[start : start + AT_ONCE]))

    async def _read(self, name: str) -> Sequence[Intent]:
        intents = []
        for key, entry in (await self._redis.hgetall(name)).items():
            try:
                intents.append(load(entry))
            except (ValueError, KeyError, TypeError, AttributeError):
                # It stays, and the others must not wait for it.
                log.exception("refund intent cannot be read", intent=key.decode(errors="replace"))
        return intents

    async def settle(self, intent: Intent) -> None:
        """Take one intent as far as it goes; what cannot be done now stays in the outbox. Raises redis errors."""
        if outgoing_headers():  # within the run that failed, or a request
            await self._settle(intent)
            return
        with self._tracing.entry(
            "refund",
            Kind.INTERNAL,
            request_id=intent.request_id,
            traceparent=intent.traceparent,
            trace_id=trace_of_session(intent.session_id),
        ):
            await self._settle(intent)

    async def _settle(self, intent: Intent) -> None:
        lock = _Lock(keys.REFUND_LOCK + intent.key, secrets.token_hex(8))
        if not await self._redis.set(lock.key, lock.token, nx=True, ex=LOCK_S):
            return
        entry = await self._find(
            keys=[keys.REFUNDS, keys.REFUND_SETTLED + intent.key, lock.key],
            args=[intent.key, dump(intent), intent.completed_at, lock.token],
        )
        if entry is None:
            self._forget(intent)  # settled between our reading it and our getting the lock
            return
        intent = load_or_none(entry) or intent
        try:
            settled, detail = await self._fail_and_give_back(intent, lock)
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
            await self._tell(intent, settled, detail)

    async def _tell(self, intent: Intent, settled: Settled, detail: str) -> None:
        if self._on_moved is not None:
            await self._on_moved(Settlement(intent.ref, intent.request_id, settled, detail))

    def _forget(self, intent: Intent) -> None:
        for remembered in (self._begun, self._not_before, self._tries):
            remembered.pop(intent.key, None)

    async def _fail_and_give_back(self, intent: Intent, lock: _Lock) -> tuple[Settled, str]:
        if intent.channel is Channel.B2C:
            done = await self._platform.fail_and_refund(
                intent.ref, intent.error_message, intent.stamp, refund_description(intent.ref)
            )
            if done is not None:
                return _told_of(done, intent)
        moved = await self._platform.fail_session(intent.ref, intent.error_message, intent.stamp)
        session = await self._platform.find_session(intent.channel, intent.session_id)
        if session is None or session.ref != intent.ref:
            log.warning("nothing to fail: no such session of this owner", **_names(intent))
            return Settled.NOT_OURS, "there is no such session of this owner"
        if session.status in OPEN_STATUSES:
            # It was locked, or what we read is older than what we wrote: a refund is not dropped for that.
            raise PlatformUnavailable(f"the session is {session.status} but could not be failed")
        if not moved and not _failed_by(intent, session):
            log.info("nothing to fail: the session is final", status=session.status, **_names(intent))
            return Settled.NOT_OURS, f"somebody else had ended the session: it is {session.status}"
        log.info("session failed", reason=intent.reason, **_names(intent))
        return await self._give_back(intent, session, lock)

    async def _give_back(self, intent: Intent, session: Session, lock: _Lock) -> tuple[Settled, str]:
        verdict = what_to_give_back(session, await self._platform.ledger_entries(session))
        if isinstance(verdict, NothingOwed):
            log.info("nothing to give back", why=verdict.why, **_names(intent))
            return Settled.ALREADY_GIVEN_BACK if verdict.already_given_back else Settled.NOTHING_OWED, verdict.why
        if isinstance(verdict, ByHand):
            entry = json.dumps(asdict(intent) | {"why": verdict.why})
            await self._redis.hset(keys.REFUNDS_BY_HAND, intent.key, entry)
            log.error("refund needs a person", why=verdict.why, **_names(intent))
            return Settled.BY_HAND, verdict.why
        return await self._pay(intent, verdict, lock)

    async def _pay(self, intent: Intent, refund: Refund, lock: _Lock) -> tuple[Settled, str]:
        asked = time.monotonic()
        if not await self._renew(keys=[lock.key], args=[lock.token, LOCK_S * 1000]):
            raise _LockLost("the platform took longer to answer than the lock holds")
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
        settled = Settled.GIVEN_BACK if paid_now else Settled.ALREADY_GIVEN_BACK
        return settled, f"{refund.amount} credit{'s' * (refund.amount != 1)} to the {_PAYERS[type(refund)]}"

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
        await self._tell(intent, Settled.POSTPONED, why)


def _told_of(done: RefundedAtOnce, intent: Intent) -> tuple[Settled, str]:
    """What the platform's one transaction did, in the words of the two steps."""
    log.info("session failed and refunded at once", result=done.value, reason=intent.reason, **_names(intent))
    match done:
        case RefundedAtOnce.REFUNDED:
            return Settled.GIVEN_BACK, "the credits to the user, in one transaction with the failing"
        case RefundedAtOnce.ALREADY_REFUNDED:
            return Settled.ALREADY_GIVEN_BACK, "the refund is in the ledger already"
        case RefundedAtOnce.NOTHING_OWED:
            return Settled.NOTHING_OWED, "no credits were used"
        case RefundedAtOnce.ENDED_ELSEWHERE:
            return Settled.NOT_OURS, "somebody else had ended the session"
        case RefundedAtOnce.NO_SESSION:
            return Settled.NOT_OURS, "there is no such session of this owner"


def _failed_by(intent: Intent, session: Session) -> bool:
    return session.status is Status.FAILED and session.completed_at == intent.stamp


def _names(intent: Intent) -> dict[str, str]:
    return {"session_id": intent.session_id, "channel": intent.channel.value, "request_id": intent.request_id}
