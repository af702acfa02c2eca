"""Failing a session and giving its credit back, exactly once, whatever crashes in between.

The order is the guarantee:

1. the intent (whom, why, and the `completed_at` stamp that we are going to write) goes into an outbox in Redis;
2. the session is moved to `failed`, if it is still open; whoever made that move owes the refund, and our stamp in the
   row tells that it was us even when the answer was lost;
3. the ledger says what was taken and whether it has been given back; if not, the refund function is called;
4. the intent is removed.

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

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.platform.base import (
    OPEN_STATUSES,
    Platform,
    PlatformError,
    PlatformUnavailable,
    Refund,
    Session,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.tracing import Kind, Tracing, outgoing_headers
from wearon.tryon import keys
from wearon.tryon.charges import ByHand, NothingOwed, what_to_give_back
from wearon.tryon.progress import Settled, Settlement
from wearon.tryon.refund_intents import (
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

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


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
        self._unlock = redis.register_script(UNLOCK)
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    async def fail(self, ref: SessionRef, request_id: str, error_message: str, reason: str) -> None:
        """Fail the session and give the credit back, now if possible, else as soon as it is.

        Returns once the intent is safe. Raises redis errors when it could not be written: then nothing has happened.
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
        await self.settle(intent)

    async def pending(self) -> Sequence[Intent]:
        """All intents that are not settled, oldest first."""
        return sorted(await self._read(keys.REFUNDS), key=lambda intent: intent.completed_at)

    async def outstanding(self) -> Sequence[Outstanding]:
        """The same with the last try's error, for people."""
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
        due = [intent for intent in await self.pending() if now >= self._not_before.get(intent.key, 0.0)]
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
        if not await self._redis.hexists(keys.REFUNDS, intent.key):
            # Settled between our reading it and our getting the lock.
            await self._give_up(lock)
            return
        try:
            settled, detail = await self._fail_and_give_back(intent, lock)
        except (_RefundInDoubt, _LockLost) as error:
            # A call may still be under way at the platform: the lock stays until it cannot be any more.
            await self._postpone(intent, str(error))
        except PlatformError as error:
            await self._give_up(lock)
            await self._postpone(intent, str(error))
        except (RedisError, OSError):
            raise
        except Exception as error:
            # A mistake of ours must not keep the other intents from being settled.
            log.exception("refund failed in an unexpected way", **_names(intent))
            await self._postpone(intent, type(error).__name__)
        else:
            self._not_before.pop(intent.key, None)
            self._tries.pop(intent.key, None)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(keys.REFUNDS, intent.key)
                pipe.hdel(keys.REFUND_ERRORS, intent.key)
                pipe.delete(lock.key)
                await pipe.execute()
            await self._tell(intent, settled, detail)

    async def _tell(self, intent: Intent, settled: Settled, detail: str) -> None:
        if self._on_moved is not None:
            await self._on_moved(Settlement(intent.ref, intent.request_id, settled, detail))

    async def _give_up(self, lock: _Lock) -> None:
        await self._unlock(keys=[lock.key], args=[lock.token])

    async def _fail_and_give_back(self, intent: Intent, lock: _Lock) -> tuple[Settled, str]:
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

    async def _postpone(self, intent: Intent, why: str) -> None:
        tries = self._tries[intent.key] = self._tries.get(intent.key, 0) + 1
        pause_s = min(RETRY_S[0] * 2 ** (tries - 1), RETRY_S[1])
        self._not_before[intent.key] = time.monotonic() + pause_s
        log.warning("refund postponed", error=why, retry_in_s=pause_s, **_names(intent))
        await self._redis.hset(keys.REFUND_ERRORS, intent.key, why)
        await self._tell(intent, Settled.POSTPONED, why)


def _failed_by(intent: Intent, session: Session) -> bool:
    return session.status is Status.FAILED and session.completed_at == intent.stamp


def _names(intent: Intent) -> dict[str, str]:
    return {"session_id": intent.session_id, "channel": intent.channel.value, "request_id": intent.request_id}
