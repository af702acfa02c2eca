"""Every interleaving of workers, kills, lost answers and the platform's cron that hypothesis can think of.

The real `RefundOutbox` runs on a Redis and a platform in memory. Its coroutines are advanced by hand, one request at
a time, so the machine decides at every request who goes next, whose answer is lost, and who is killed. Whatever it
does, the credit comes back exactly once for a failed session and never for a completed one.
"""

import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from support.examples import examples
from wearon.events import Events
from wearon.observability.tracing import Tracing
from wearon.platform.base import (
    Channel,
    LedgerEntry,
    LedgerEntryType,
    PlatformUnavailable,
    RefundedAtOnce,
    Session,
    SessionRef,
    Status,
    UserRefund,
)
from wearon.redis.scripts import load_script
from wearon.refunds.outbox import RefundOutbox

REF = SessionRef(Channel.B2C, "6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10", "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11")
FAULTS = ("request lost", "answer lost", "done late")

STOPS = ("lock", "fail session", "find session", "script", "give back", "remove intent", None)
"""Where the others are most likely to be in the way."""

RARELY = st.sampled_from([False] * 9 + [True])
"""What ends the session from outside also ends most of what can go wrong."""


@types.coroutine
def request(name: str) -> Generator[str, str, str]:
    """Where a coroutine stands until the machine says what becomes of its request."""
    outcome = yield name
    return outcome


@dataclass
class FakeRedis:
    """The commands that the outbox uses, each of them one request. Redis itself answers: its faults are tested e2e."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)

    def register_script(self, script: str) -> Any:
        known = {
            "renew_lock": self._renew,
            "take_over_lock": self._take_over,
            "find_intent": self._find,
            "postpone": self._postpone,
        }
        return {load_script("refunds", name): call for name, call in known.items()}[script]

    async def _renew(self, *, keys: list[str], args: list[Any]) -> int:
        await request("script")
        held = self.locks.get(keys[0]) == args[0]
        if held:
            self.locks[keys[0]] = args[2]
        return int(held)

    async def _take_over(self, *, keys: list[str], args: list[Any]) -> bytes | None:
        await request("lock")
        token, _ms, paying, *ended = args
        held = self.locks.get(keys[0], "")
        if held.partition(" ")[0] not in ended:
            return None
        self.locks[keys[0]] = token + paying * held.endswith(paying)
        return self.locks[keys[0]].encode()

    async def _find(self, *, keys: list[str], args: list[Any]) -> bytes | None:
        await request("find intent")
        outbox, settled, lock = keys
        session, intent, stamp, token = args
        entries = self.hashes.setdefault(outbox, {})
        if session not in entries and self.settled.get(settled) == stamp:
            self._release(lock, token)
            return None
        return entries.setdefault(session, intent).encode()

    async def _postpone(self, *, keys: list[str], args: list[Any]) -> int:
        await request("postpone")
        outbox, settled, lock, errors = keys
        session, intent, stamp, token, why, after, _ms = args
        held = self.locks.get(lock)
        if after == "release":
            self._release(lock, token)
        entries = self.hashes.setdefault(outbox, {})
        if session not in entries:
            if self.settled.get(settled) == stamp:
                return 0
            entries[session] = intent
            if after == "hold" and held is None:
                self.locks[lock] = token
        self.hashes.setdefault(errors, {})[session] = why
        return 1

    def _release(self, lock: str, token: str) -> None:
        if self.locks.get(lock) == token:
            del self.locks[lock]

    def forget(self) -> None:
        """What a failover to a replica that had nothing yet does to the last second."""
        self.hashes.clear()
        self.locks.clear()
        self.settled.clear()

    async def hsetnx(self, name: str, key: str, value: str) -> bool:
        await request("hsetnx")
        entries = self.hashes.setdefault(name, {})
        return entries.setdefault(key, value) is value

    async def hget(self, name: str, key: str) -> bytes | None:
        await request("hget")
        value = self.hashes.get(name, {}).get(key)
        return None if value is None else value.encode()

    async def hgetall(self, name: str) -> dict[bytes, bytes]:
        await request("hgetall")
        return {key.encode(): value.encode() for key, value in self.hashes.get(name, {}).items()}

    async def set(self, key: str, value: str, *, nx: bool, ex: int) -> bool:
        await request("lock")
        return self.locks.setdefault(key, value) is value

    def pipeline(self, *, transaction: bool) -> "FakePipeline":
        return FakePipeline(self)


class FakePipeline:
    """What takes a settled intent out, in one go."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._removed: list[tuple[str, str]] = []
        self._unlocked: list[str] = []
        self._settled: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def hdel(self, name: str, key: str) -> None:
        self._removed.append((name, key))

    def delete(self, key: str) -> None:
        self._unlocked.append(key)

    def set(self, key: str, value: str, *, ex: int) -> None:
        self._settled[key] = value

    async def execute(self) -> None:
        await request("remove intent")
        for name, key in self._removed:
            self._redis.hashes.get(name, {}).pop(key, None)
        for key in self._unlocked:
            self._redis.locks.pop(key, None)
        self._redis.settled |= self._settled


@dataclass
class FakePlatform:
    """One b2c session and its ledger. A refund is not idempotent: every call that arrives pays."""

    status: Status = Status.PROCESSING
    completed_at: datetime | None = None
    refunds: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Refunds whose caller has given up waiting, and which the database is still going to make."""

    async def fail_and_refund(
        self, ref: SessionRef, error_message: str, completed_at: datetime, description: str
    ) -> RefundedAtOnce | None:
        """Not offered."""
        return None

    async def fail_session(self, ref: SessionRef, _error_message: str, completed_at: datetime) -> bool:
        outcome = await request("fail session")
        moved = False
        if outcome != "request lost" and self.status is Status.PROCESSING:
            self.status, self.completed_at, moved = Status.FAILED, completed_at, True
        self._answer(outcome)
        return moved

    async def find_session(self, channel: Channel, session_id: str) -> Session:
        self._answer(await request("find session"))
        return Session(REF, self.status, 1, datetime.now(UTC), completed_at=self.completed_at)

    async def ledger_entries(self, session: Session) -> list[LedgerEntry]:
        self._answer(await request("read ledger"))
        return [LedgerEntry(LedgerEntryType.REFUND, description) for description in self.refunds]

    async def give_back(self, refund: UserRefund) -> bool:
        outcome = await request("give back")
        if outcome == "done late":
            self.late.append(refund.description)
        elif outcome != "request lost":
            self.refunds.append(refund.description)
        self._answer(outcome)
        return True

    @staticmethod
    def _answer(outcome: str) -> None:
        if outcome != "answered":
            raise PlatformUnavailable(outcome)


@dataclass
class Run:
    """One coroutine of a worker, standing at `at`."""

    worker: int
    coroutine: Coroutine[str, str, None]
    at: str = ""


@dataclass
class FakeFiles:
    """What a worker learns from the locks on files: who has surely ended."""

    worker_id: str
    dead: set[str]


@dataclass
class PlatformWithTheFunction(FakePlatform):
    """The same with `fail_and_refund_session` installed: a transaction, so it is done whole, at once or late."""

    stamps_to_come: list[datetime] = field(default_factory=list)

    async def fail_and_refund(
        self, ref: SessionRef, error_message: str, completed_at: datetime, description: str
    ) -> RefundedAtOnce | None:
        outcome = await request("fail and refund")
        if outcome == "done late":
            self.stamps_to_come.append(completed_at)
        found = RefundedAtOnce.NO_SESSION
        if outcome not in {"request lost", "done late"}:
            found = self._transact(completed_at)
        self._answer(outcome)
        return found

    def _transact(self, completed_at: datetime) -> RefundedAtOnce:
        if self.status is Status.PROCESSING:
            self.status, self.completed_at = Status.FAILED, completed_at
        elif self.status is not Status.FAILED or self.completed_at != completed_at:
            return RefundedAtOnce.ENDED_ELSEWHERE
        if self.refunds:
            return RefundedAtOnce.ALREADY_REFUNDED
        self.refunds.append(REF.session_id)
        return RefundedAtOnce.REFUNDED

    def catch_up(self) -> None:
        """Make what was called and not done yet."""
        stamps, self.stamps_to_come = self.stamps_to_come, []
        for stamp in stamps:
            self._transact(stamp)


class Refunds(RuleBasedStateMachine):
    """Two workers and the cron; `runs` are coroutines under way in any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = FakeRedis()
        self.platform = self._platform()
        self.ended: set[str] = set()
        self.started = 0
        self.workers = [self._outbox(), self._outbox()]
        self.runs: list[Run] = []

    @staticmethod
    def _platform() -> FakePlatform:
        return FakePlatform()

    def _outbox(self) -> RefundOutbox:
        self.started += 1
        files = FakeFiles(f"host:{self.started}", self.ended)
        return RefundOutbox(self.redis, self.platform, Events(), Tracing(), files)  # type: ignore[arg-type]

    @precondition(lambda self: len(self.runs) < 4)
    @rule(worker=st.integers(0, 1))
    def a_job_fails(self, worker: int) -> None:
        self._begin(worker, self._fail(self.workers[worker]))

    @precondition(lambda self: len(self.runs) < 4)
    @rule(worker=st.integers(0, 1))
    def housekeeping_looks(self, worker: int) -> None:
        self._begin(worker, self._settle_all(self.workers[worker]))

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), outcome=st.sampled_from(FAULTS))
    def one_request_fails(self, data: st.DataObject, outcome: str) -> None:
        self._advance(data.draw(st.sampled_from(self.runs)), outcome)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), until=st.sampled_from(STOPS))
    def one_goes_on(self, data: st.DataObject, until: str | None) -> None:
        """At least one request, and then up to the one named, or to the end."""
        run = data.draw(st.sampled_from(self.runs))
        self._advance(run, "answered")
        while run in self.runs and run.at != until:
            self._advance(run, "answered")

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def one_makes_one_request(self, data: st.DataObject) -> None:
        self._advance(data.draw(st.sampled_from(self.runs)), "answered")

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def one_is_killed(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        run.coroutine.close()
        self.runs.remove(run)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def a_worker_is_killed_and_the_next_one_knows_it(self, data: st.DataObject) -> None:
        """A call that is on its way is made all the same."""
        worker = data.draw(st.sampled_from(self.runs)).worker
        for run in [run for run in self.runs if run.worker == worker]:
            if run.at == "give back":
                self.platform.late.append(REF.session_id)
            run.coroutine.close()
            self.runs.remove(run)
        files = self.workers[worker]._files
        assert files
        self.ended.add(files.worker_id)
        self.workers[worker] = self._outbox()
        self._begin(worker, self._settle_all(self.workers[worker]))

    @rule(now=RARELY)
    def the_cron_comes(self, now: bool) -> None:
        if now and self.platform.status is Status.PROCESSING:
            self.platform.status, self.platform.completed_at = Status.FAILED, datetime.now(UTC)
            self.platform.refunds.append(f"timed out session {REF.session_id}")

    @rule(now=RARELY)
    def another_run_completes_the_session(self, now: bool) -> None:
        if now and self.platform.status is Status.PROCESSING:
            self.platform.status, self.platform.completed_at = Status.COMPLETED, datetime.now(UTC)

    @precondition(lambda self: not any(run.at == "give back" for run in self.runs))
    @rule()
    def locks_run_out(self) -> None:
        """Longer than a call can be under way: whatever the database was still going to do, it has done by then."""
        self._late_refunds_are_made()
        self.redis.locks.clear()

    def _late_refunds_are_made(self) -> None:
        self.platform.refunds += self.platform.late
        self.platform.late.clear()

    @invariant()
    def never_twice_and_never_for_a_picture(self) -> None:
        paid = len(self.platform.refunds) + len(self.platform.late)
        assert paid <= (0 if self.platform.status is Status.COMPLETED else 1)

    def teardown(self) -> None:
        """Everybody is killed, and a new worker finds what they have left: exactly once, never never."""
        for run in self.runs:
            run.coroutine.close()
        self._late_refunds_are_made()
        self.redis.locks.clear()
        fresh = self._outbox()
        self._to_the_end(self._settle_all(fresh))
        if self.platform.status is Status.PROCESSING:
            self._to_the_end(self._fail(fresh))  # its job is still there, and fails again
        assert not self.redis.hashes.get("wearon:refunds")
        assert len(self.platform.refunds) == (1 if self.platform.status is Status.FAILED else 0)

    @staticmethod
    async def _fail(outbox: RefundOutbox) -> None:
        await outbox.fail(REF, "req_1", "Internal error during generation", "for the test")

    @staticmethod
    async def _settle_all(outbox: RefundOutbox) -> None:
        for intent in await outbox.known():
            await outbox.settle(intent)

    def _begin(self, worker: int, coroutine: Coroutine[str, str, None]) -> None:
        run = Run(worker, coroutine)
        self.runs.append(run)
        self._advance(run, None)

    def _advance(self, run: Run, outcome: str | None) -> None:
        with capture_logs():
            try:
                run.at = run.coroutine.send(outcome)  # type: ignore[arg-type] # None begins it
            except StopIteration:
                self.runs.remove(run)

    @staticmethod
    def _to_the_end(coroutine: Coroutine[str, str, None]) -> None:
        with capture_logs(), suppress(StopIteration):
            coroutine.send(None)  # type: ignore[arg-type]
            while True:
                coroutine.send("answered")


Refunds.TestCase.settings = settings(max_examples=examples(3), stateful_step_count=30)
TestRefunds = Refunds.TestCase


class RefundsAtOnce(Refunds):
    """With the function nothing hangs on the lock: it may run out, or be forgotten, at any moment whatever."""

    @staticmethod
    def _platform() -> FakePlatform:
        return PlatformWithTheFunction()

    @rule()
    def locks_run_out_under_a_call(self) -> None:
        self.redis.locks.clear()

    @rule(now=RARELY)
    def late_calls_are_done(self, now: bool) -> None:
        if now:
            self._late_refunds_are_made()

    @rule(now=RARELY)
    def a_failover_forgets_everything_but_what_a_living_process_holds(self, now: bool) -> None:
        if now and any(worker.has_begun for worker in self.workers):
            self.redis.forget()

    def _late_refunds_are_made(self) -> None:
        super()._late_refunds_are_made()
        assert isinstance(self.platform, PlatformWithTheFunction)
        self.platform.catch_up()

    def teardown(self) -> None:
        """Nobody is killed: what a living process holds is settled, wherever Redis has it."""
        self._late_refunds_are_made()
        self.redis.locks.clear()
        for run in self.runs:
            run.coroutine.close()
        for worker in self.workers:
            self._to_the_end(self._settle_all(worker))
        super().teardown()


RefundsAtOnce.TestCase.settings = settings(max_examples=examples(3), stateful_step_count=30)
TestRefundsAtOnce = RefundsAtOnce.TestCase


def test_another_process_does_not_pay_while_one_is_about_to() -> None:
    machine = Refunds()
    machine.a_job_fails(0)
    (run,) = machine.runs
    while run.at != "give back":
        machine._advance(run, "answered")
    machine._to_the_end(machine._settle_all(machine.workers[1]))
    machine._advance(run, "answered")
    machine.never_twice_and_never_for_a_picture()
    machine.teardown()


def test_another_process_does_not_pay_while_the_outcome_of_a_call_is_not_known() -> None:
    machine = Refunds()
    machine.a_job_fails(0)
    (run,) = machine.runs
    while run.at != "give back":
        machine._advance(run, "answered")
    machine._advance(run, "done late")
    while run in machine.runs:
        machine._advance(run, "answered")
    machine._to_the_end(machine._settle_all(machine.workers[1]))
    machine.never_twice_and_never_for_a_picture()
    machine.teardown()
