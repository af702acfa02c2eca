"""A fleet on paper: tasks arrive, workers with slots and cores do them, OpenAI takes its time, workers die.

A discrete-event simulation, seeded. It has what decides how long a customer waits, and nothing else: turns of tenants
(or one first-come queue), slots, the cores' time before and after the model's call, the fleet's rate limit (evenly
spaced starts, as `queue.rate_limiter` gives them out), the model's latency, and deaths, after which a worker's jobs lie
still until its lease is noticed to have ended. Redis and the platform cost a few milliseconds and are left out.
"""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist

from wearon.queue.lease import HEARTBEAT_S, LEASE_S
from wearon.queue.rate_limiter import JITTER_S

B2C = "b2c"
"""The tenant of all who buy on WearOn itself."""

MODEL_P50_S, MODEL_P95_S = 25.0, 45.0
"""How long a generation takes: the contract says 10-60 s."""


def model_latency(chance: Random) -> float:
    """Log-normal with those quantiles: seconds."""
    spread = math.log(MODEL_P95_S / MODEL_P50_S) / NormalDist().inv_cdf(0.95)
    return chance.lognormvariate(math.log(MODEL_P50_S), spread)


@dataclass(frozen=True)
class Fleet:
    """What there is. One worker is one process on a machine of its own."""

    workers: int
    slots: int = 20
    cores: int = 2
    cpu_before_s: float = 0.028
    """Of a job, until the call: two pictures of 3 megapixels fetched and prepared, and the form sent."""
    cpu_after_s: float = 0.014
    """The answer read, checked, kept and uploaded, the session completed."""
    per_minute: float = 300.0
    weights: Mapping[str, float] | None = None
    """Of tenants, 1 where none is named: they take turns. None: first come, first served."""
    latency: Callable[[Random], float] = model_latency
    mean_life_s: float | None = None
    """Of a worker, exponential; None: nobody dies."""
    restart_s: float = 30.0
    """Until another worker stands in a dead one's place."""
    overhead_s: float = 0.0
    """Waiting of a job that is neither cores nor model: round trips to Redis, the platform and Storage."""


@dataclass
class Job:
    """One task on its way. Times are seconds of the simulation."""

    arrived: float
    chance: float
    """Of this job, 0..1: the same in every fleet, so that fleets are compared on equal luck."""
    tenant: str = B2C
    started: float | None = None
    done: float | None = None
    calls: int = 0
    starts: int = 0
    answered: bool = False

    @property
    def wait_s(self) -> float:
        """From LPUSH to the picture."""
        assert self.done is not None
        return self.done - self.arrived


class _Turns:
    """Who goes next, as `queue/scripts/take.lua` decides: the tenant that has had the least for its weight.

    A store that holds half of the slots is passed over while others wait.
    """

    def __init__(self, weights: Mapping[str, float] | None, slots: int) -> None:
        self._weights = weights
        self._half = max(1, slots // 2)
        self._lines: dict[str, deque[Job]] = {}
        self._times: dict[str, float] = {}
        self._last = 0.0
        self._running: Counter[str] = Counter()
        self.waiting = 0

    def add(self, job: Job, *, first: bool = False) -> None:
        """Let a job wait behind the others of its tenant, or before them."""
        tenant = self._tenant(job)
        if not self._lines.setdefault(tenant, deque()):
            self._times[tenant] = max(self._times.get(tenant, 0.0), self._last)  # no credit for idleness
        (self._lines[tenant].appendleft if first else self._lines[tenant].append)(job)
        self.waiting += 1

    def take(self) -> Job:
        """The next job, which runs from now on."""
        lines = [tenant for tenant, line in self._lines.items() if line]
        tenant = min(lines, key=lambda each: (self._holds_half(each), self._times[each]))
        self._last = max(self._last, self._times[tenant])
        self._times[tenant] += 1 / (self._weights or {}).get(tenant, 1.0)
        self._running[tenant] += 1
        self.waiting -= 1
        return self._lines[tenant].popleft()

    def end(self, job: Job) -> None:
        """A job runs no more."""
        self._running[self._tenant(job)] -= 1

    def _tenant(self, job: Job) -> str:
        return B2C if self._weights is None else job.tenant

    def _holds_half(self, tenant: str) -> bool:
        return tenant != B2C and self._running[tenant] >= self._half


@dataclass
class _Worker:
    free_at: list[float]
    """When each core is free."""
    running: dict[int, Job] = field(default_factory=dict)
    alive: bool = True
    life: int = 0


@dataclass
class Outcome:
    """What happened."""

    jobs: list[Job]
    backlog: list[tuple[float, int]]
    """(time, tasks waiting for a slot), at every change."""

    def waits(self, after: float = 0.0, before: float = math.inf, tenant: str | None = None) -> list[float]:
        """How long those waited who came in that time, sorted; with `tenant` only its own."""
        return sorted(
            job.wait_s
            for job in self.jobs
            if after <= job.arrived < before and job.done is not None and tenant in (None, job.tenant)
        )

    @property
    def second_calls(self) -> int:
        """Calls that were paid for nothing: a worker died with them under way."""
        return sum(max(0, job.calls - 1) for job in self.jobs)


class Simulation:
    """One run; `run` does it."""

    def __init__(self, fleet: Fleet, arrivals: Sequence[float | tuple[float, str]], seed: int = 0) -> None:
        """An arrival is a time, or a time and the tenant whose job comes; without one it is a job of b2c."""
        self._fleet = fleet
        self._chance = Random(seed)
        self._jobs = [
            Job(at, Random(seed * 1_000_003 + number).random(), tenant)
            for number, arrival in enumerate(arrivals)
            for at, tenant in [arrival if isinstance(arrival, tuple) else (arrival, B2C)]
        ]
        self._workers = [_Worker([0.0] * fleet.cores) for _ in range(fleet.workers)]
        self._turns = _Turns(fleet.weights, fleet.workers * fleet.slots)
        self._next_start = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._now = 0.0
        self._left = len(self._jobs)
        self._backlog: list[tuple[float, int]] = []

    def run(self) -> Outcome:
        """Until every job is done."""
        for job in self._jobs:
            self._at(job.arrived, lambda job=job: self._arrive(job))  # type: ignore[misc]
        for worker in self._workers:
            self._plan_death(worker)
        while self._left and self._events:
            self._now, _, action = heapq.heappop(self._events)
            action()
        return Outcome(self._jobs, self._backlog)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def _arrive(self, job: Job) -> None:
        self._turns.add(job)
        self._hand_out()

    def _hand_out(self) -> None:
        free = [worker for worker in self._workers if worker.alive and len(worker.running) < self._fleet.slots]
        while self._turns.waiting and free:
            worker = min(free, key=lambda each: len(each.running))
            self._start(worker, self._turns.take())
            free = [each for each in free if len(each.running) < self._fleet.slots]
        self._backlog.append((self._now, self._turns.waiting))

    def _start(self, worker: _Worker, job: Job) -> None:
        worker.running[id(job)] = job
        job.starts += 1
        job.started = self._now if job.started is None else job.started
        if job.answered:  # its answer lies in the spool or in Storage: not paid again
            self._then(worker, job, self._on_a_core(worker, self._fleet.cpu_after_s), self._finish)
        else:
            ready = self._on_a_core(worker, self._fleet.cpu_before_s) + self._fleet.overhead_s
            self._then(worker, job, ready, self._ask_for_a_slot)

    def _ask_for_a_slot(self, worker: _Worker, job: Job) -> None:
        start = max(self._now, self._next_start)
        self._next_start = start + (60 + JITTER_S) / self._fleet.per_minute
        self._then(worker, job, start, self._call)

    def _call(self, worker: _Worker, job: Job) -> None:
        job.calls += 1
        latency_s = self._fleet.latency(Random(f"{job.chance}-{job.calls}"))
        self._then(worker, job, self._now + latency_s, self._read)

    def _read(self, worker: _Worker, job: Job) -> None:
        job.answered = True
        self._then(worker, job, self._on_a_core(worker, self._fleet.cpu_after_s), self._finish)

    def _finish(self, worker: _Worker, job: Job) -> None:
        job.done = self._now
        self._left -= 1
        self._turns.end(job)
        del worker.running[id(job)]
        self._hand_out()

    def _on_a_core(self, worker: _Worker, seconds: float) -> float:
        """When so much work is done, behind what the worker's cores have to do already."""
        core = min(range(len(worker.free_at)), key=worker.free_at.__getitem__)
        worker.free_at[core] = max(self._now, worker.free_at[core]) + seconds
        return worker.free_at[core]

    def _then(self, worker: _Worker, job: Job, when: float, step: Callable[[_Worker, Job], None]) -> None:
        """The next step, unless the worker dies before."""
        life = worker.life

        def act() -> None:
            if worker.life == life:
                step(worker, job)

        self._at(when, act)

    def _plan_death(self, worker: _Worker) -> None:
        if self._fleet.mean_life_s is not None:
            life_s = self._chance.expovariate(1 / self._fleet.mean_life_s)
            self._at(self._now + life_s, lambda: self._die(worker))

    def _die(self, worker: _Worker) -> None:
        orphans = list(worker.running.values())
        worker.alive, worker.life = False, worker.life + 1
        worker.running.clear()
        # The lease ends up to LEASE_S after the last beat, and the next beat of anybody else frees the jobs.
        noticed = self._now + LEASE_S - HEARTBEAT_S * self._chance.random() + HEARTBEAT_S * self._chance.random()
        self._at(noticed, lambda: self._free(orphans))
        self._at(self._now + self._fleet.restart_s, lambda: self._restart(worker))

    def _free(self, orphans: Sequence[Job]) -> None:
        for job in sorted(orphans, key=lambda each: -each.arrived):
            self._turns.end(job)
            self._turns.add(job, first=True)
        self._hand_out()

    def _restart(self, worker: _Worker) -> None:
        worker.alive, worker.free_at = True, [self._now] * self._fleet.cores
        self._plan_death(worker)
        self._hand_out()


def poisson(per_minute: float, seconds: float, seed: int = 0, start: float = 0.0) -> list[float]:
    """Arrivals by chance at that rate."""
    chance, at, found = Random(seed), start, []
    while (at := at + chance.expovariate(per_minute / 60)) < start + seconds:
        found.append(at)
    return found
