"""The scheduler against a model of it: nothing lost, nothing run twice, no limit passed, no tenant starved.

Two workers and one of each version before act on a real Redis in any order, die, and find their leases expired, while
operators cancel what waits and what runs.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from support.job_side import untyped
from support.redis import RedisServer
from support.turns import (
    EarlierWorker,
    Lost,
    ScriptedWorker,
    WorkerBeforeSums,
    a_store,
    cancel,
    push,
    push_again,
    script_before_sums,
)
from wearon.queue import keys
from wearon.queue.limits import Limits
from wearon.queue.tenants import B2C
from wearon.redis.clients import connect

pytestmark = pytest.mark.slow

TENANTS = (B2C, a_store(), a_store())
LIMITS = Limits(store_at_once=2, b2c_weight=3.0)

INDEXES = (keys.TURNS, keys.WAITING, keys.HELD, keys.RUNNING_OF_TENANTS, keys.RUNNING_SUMS)

TENANT = st.sampled_from(TENANTS)
PLACE = st.integers(0, 30)
WORKER = st.sampled_from(("one", "two", "before sums", "earlier"))
PRESENT = ("one", "two")


class Queue(RuleBasedStateMachine):
    """What should be there: each job waits, or is held by one worker, until it ends."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = connect(self.url, name="model")
        self.open: set[str] = set()
        self.tasks: list[str] = []
        """Every job that ever was, in the order in which they came: examples name them by their place."""
        self.cancelled: dict[str, bytes] = {}
        """Job -> the intent of its refund, from the first cancel on."""
        self.lost: list[Lost] = []
        self.paused: set[str] = set()
        self.workers = {
            "one": ScriptedWorker(self.redis, "one", 3, LIMITS),
            "two": ScriptedWorker(self.redis, "two", 2, LIMITS),
            "before sums": WorkerBeforeSums(self.redis, "before sums", 2, LIMITS),
            "earlier": EarlierWorker(self.redis, "earlier", 2),
        }
        self.do(self.redis.flushall())
        for worker in self.workers.values():
            self.do(worker.beat())

    def do(self, step: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(asyncio.ensure_future(step, loop=self.loop))

    @property
    def held(self) -> list[str]:
        return [job for worker in self.workers.values() for job in worker.held]

    def running_of(self, tenant: str) -> int:
        """On the workers that know limits: what the earlier one takes is counted with the next heartbeat only."""
        held = [job for name, worker in self.workers.items() if name != "earlier" for job in worker.held]
        return sum(job.startswith(tenant + ":") for job in held)

    @rule(tenant=TENANT, count=st.integers(1, 4))
    def a_task_comes(self, tenant: str, count: int) -> None:
        self.note(self.do(push(self.redis, tenant, count, LIMITS)))

    @rule(tenant=TENANT)
    def the_earlier_consumer_takes_one(self, tenant: str) -> None:
        earlier = self.workers["earlier"]
        assert isinstance(earlier, EarlierWorker)
        self.note([self.do(earlier.push(tenant))])

    def note(self, jobs: list[str]) -> None:
        self.tasks += jobs
        self.open |= set(jobs)

    @rule(worker=WORKER)
    def take(self, worker: str) -> None:
        before = Counter(self.held)
        jobs = self.do(self.workers[worker].take())
        assert not before & Counter(jobs), "a job ran twice"
        assert set(jobs) <= self.open, "a job that has ended ran again"
        if worker != "earlier":
            assert not any(job.startswith(f"{tenant}:") for job in jobs for tenant in self.paused)
            for tenant in TENANTS[1:]:
                taken = sum(job.startswith(f"{tenant}:") for job in jobs)
                assert not taken or self.running_of(tenant) <= LIMITS.store_at_once, "over the limit"

    @rule(worker=WORKER, again_in_ms=st.sampled_from((None, 0, 60_000)))
    def one_ends(self, worker: str, again_in_ms: int | None) -> None:
        if held := sorted(self.workers[worker].held):
            assert self.do(self.workers[worker].end(held[0], again_in_ms=again_in_ms))
            if again_in_ms is None:
                self.open.remove(held[0])

    @rule(worker=st.sampled_from(PRESENT))
    def beat(self, worker: str) -> None:
        """What the worker's jobs add up to is what Redis has, whichever version has taken some of them away."""
        present = self.workers[worker]
        before = dict(present.held)
        self.do(present.beat())
        assert present.held == before
        assert int(self.do(untyped(self.redis).hget(keys.RUNNING_SUMS, worker)) or 0) == present.sum

    @rule(place=PLACE, now=st.booleans(), earlier=st.booleans())
    def an_operator_cancels(self, place: int, now: bool, earlier: bool) -> None:
        """One that waits is gone at once; one that runs is let finish, or taken from its worker."""
        there = [job for job in self.tasks if job in self.open]
        if not there:
            return
        job = there[place % len(there)]
        holders = [worker for worker in self.workers.values() if job in worker.held]
        script = script_before_sums("cancel") if earlier else None
        intent = self.do(cancel(self.redis, job, now=now, script=script))
        if holders and not now:
            assert intent is None, "a job that runs was not let finish"
            return
        assert intent is not None
        self.cancelled[job] = intent
        self.open.remove(job)
        self.lost += [holder.lose(job) for holder in holders]

    @rule(place=PLACE, now=st.booleans())
    def an_operator_cancels_again(self, place: int, now: bool) -> None:
        if self.cancelled:
            job, intent = list(self.cancelled.items())[place % len(self.cancelled)]
            assert self.do(cancel(self.redis, job, now=now)) == intent

    @rule(place=PLACE)
    def a_task_of_a_cancelled_session_comes(self, place: int) -> None:
        if self.cancelled:
            self.do(push_again(self.redis, list(self.cancelled)[place % len(self.cancelled)]))

    @rule(again_in_ms=st.sampled_from((None, 0)))
    def a_cancelled_job_ends_that_its_worker_went_on_with(self, again_in_ms: int | None) -> None:
        if self.lost:
            lost = self.lost.pop(0)
            knows_intents = not isinstance(lost.worker, EarlierWorker)
            self.do(lost.end(again_in_ms=again_in_ms if knows_intents else None))

    @rule(worker=WORKER)
    def one_is_killed(self, worker: str) -> None:
        self.do(self.redis.zadd(keys.WORKERS, {worker: 1}))
        self.workers[worker].held.clear()
        self.workers[worker].starts.clear()
        self.lost = [lost for lost in self.lost if lost.worker is not self.workers[worker]]
        others = [other for name, other in self.workers.items() if name != worker]
        for other in others:
            self.do(other.beat())
        self.do(self.workers[worker].beat())  # and is started again

    @rule(tenant=TENANT)
    def pause_or_resume(self, tenant: str) -> None:
        if tenant in self.paused:
            self.paused.remove(tenant)
            self.do(untyped(self.redis).hdel(keys.PAUSES, tenant))
        else:
            self.paused.add(tenant)
            self.do(untyped(self.redis).hset(keys.PAUSES, tenant, "{}"))

    @rule(key=st.sampled_from((*INDEXES, keys.LINE + B2C)))
    def redis_loses_a_key_of_the_turns(self, key: str) -> None:
        self.do(self.redis.delete(key))
        self.pass_minutes()
        for worker in self.workers.values():
            self.do(worker.beat())

    def pass_minutes(self) -> None:
        """All that waits is due by now; what runs is left alone."""
        waiting = self.open - set(self.held)
        if waiting:
            self.do(self.redis.zadd(keys.JOBS, dict.fromkeys(waiting, 1), xx=True))

    @invariant()
    def no_job_is_lost(self) -> None:
        assert {job.decode() for job in self.do(untyped(self.redis).zrange(keys.JOBS, 0, -1))} == self.open

    @invariant()
    def who_runs_what_is_known(self) -> None:
        running = self.do(untyped(self.redis).hgetall(keys.RUNNING))
        assert sorted(job.decode() for job in running) == sorted(self.held)

    @invariant()
    def each_cancelled_session_has_its_one_refund_intent(self) -> None:
        intents = self.do(untyped(self.redis).hgetall(keys.REFUNDS))
        assert sorted(intents.values()) == sorted(self.cancelled.values())

    def teardown(self) -> None:
        """Everything starts and ends, whatever happened before."""
        self.do(self.redis.delete(keys.PAUSES, keys.CAPACITY_SUM))
        one = self.workers["one"]
        for lost in self.lost:
            self.do(lost.end())
        for worker in self.workers.values():
            self.do(worker.beat())
            for job in list(worker.held):
                assert self.do(worker.end(job))
                self.open.remove(job)
        self.pass_minutes()
        self.do(one.beat())  # the earlier worker's jobs have ended: their tenants may start others
        for _ in range(len(self.open) + 1):  # the last take finds the turn of a tenant that has nothing left
            for job in self.do(one.take()):
                assert self.do(one.end(job))
                self.open.remove(job)
        assert self.open == set()
        self.do(one.beat())
        left = (keys.JOBS, keys.RUNNING, *INDEXES)
        assert self.do(self.redis.exists(*left)) == 0
        self.do(self.redis.aclose(close_connection_pool=True))
        self.do(asyncio.sleep(0))  # closed transports are told of it in the next turn of the loop
        self.loop.close()


def test_whatever_happens_in_whatever_order(redis_server: RedisServer) -> None:
    Queue.url = redis_server.url
    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
