"""The fleet's memory of incidents, kept by its processes in a real Redis."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from support.api_services import status_reader
from support.job_side import new_lease, untyped
from support.redis import RedisServer
from wearon.dependencies import Dependencies, Dependency, Refusal, RefusalKind
from wearon.events import Events
from wearon.operations import status as status_module
from wearon.operations.incident_keeper import IncidentKeeper
from wearon.operations.live_view import LiveView
from wearon.operations.report import Reporter
from wearon.operations.status import StatusReader
from wearon.queue import keys

pytestmark = pytest.mark.slow

KEY_REFUSED = Refusal(dependency=Dependency.OPENAI, kind="key_refused", words="OpenAI refuses our key", since_s=3.0)


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "REMEMBER_S", -1.0)


@dataclass
class Clock:
    """Seconds that a test lets pass."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Member:
    """One process of the fleet, as far as incidents need it."""

    redis: Redis
    name: str
    refusals: list[Refusal] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def is_refused_for(self, lasted_s: float) -> None:
        """It is refused something for so long, and then granted it."""
        self.dependencies.refused(Dependency.OPENAI, "OpenAI refuses our key", kind=RefusalKind.KEY_REFUSED)
        self.clock.now += lasted_s
        self.dependencies.answered(Dependency.OPENAI)

    def __post_init__(self) -> None:
        self.dependencies = Dependencies(self.clock)
        reporter = Reporter(
            self.name,
            LiveView(Events()),
            2,
            refusals=lambda: [*self.refusals, *self.dependencies.refusals],
            last_refused=lambda: self.dependencies.last_refused,
            answered_again=lambda: self.dependencies.answered_again,
            take_ended=self.dependencies.take_ended,
        )
        self.lease = new_lease(self.redis, self.name, 2, report=reporter.beat)
        self.status: StatusReader = status_reader(self.redis, own=reporter)
        self.keeper = IncidentKeeper(self.redis, self.status, reporter, self.lease)

    async def look(self) -> list[dict[str, Any]]:
        """A heartbeat and a look; what was logged of incidents."""
        await self.lease.renew()
        with capture_logs() as lines:
            await self.keeper.look()
        return [dict(line) for line in lines if str(line["event"]).startswith("incident ")]


@pytest.fixture
def fleet(redis_client: Redis) -> tuple[Member, Member]:
    return Member(redis_client, "a"), Member(redis_client, "b")


async def test_every_process_tells_the_same_and_one_logs_it(fleet: tuple[Member, Member], redis_client: Redis) -> None:
    a, b = fleet
    a.refusals.append(KEY_REFUSED)
    (begin,) = await a.look()
    assert (begin["event"], begin["code"], begin["log_level"]) == ("incident begins", "openai_key_refused", "warning")
    b.refusals.append(KEY_REFUSED.model_copy(update={"since_s": 0.5}))
    assert await b.look() == []
    seen = [await one.status.read() for one in (a, b, Member(redis_client, "started again"))]
    assert len({fleet.incidents[0].since for fleet in seen}) == 1
    assert [fleet.status for fleet in seen] == ["degraded"] * 3

    a.refusals.clear()
    assert await a.look() == [], "b is still refused"
    b.refusals.clear()
    (end,) = await b.look()
    assert (end["event"], end["code"]) == ("incident ends", "openai_key_refused")
    assert await a.look() == []
    for one in (a, b):
        now = await one.status.read()
        assert (now.status, now.incidents, [over.code for over in now.recovered]) == (
            "ok",
            [],
            ["openai_key_refused"],
        )
    assert await untyped(redis_client).hlen(keys.INCIDENTS) == 1


async def test_the_last_refusal_of_any_process_is_told_at_the_end(fleet: tuple[Member, Member]) -> None:
    a, b = fleet
    a.dependencies.refused(Dependency.OPENAI, "OpenAI refuses our key", kind=RefusalKind.KEY_REFUSED)
    await a.look()
    a.dependencies.refused(Dependency.OPENAI, "OpenAI refuses our key", kind=RefusalKind.KEY_REFUSED)
    again = datetime.now(UTC)
    a.dependencies.answered(Dependency.OPENAI)
    await a.lease.renew()
    (end,) = await b.look()  # which has not seen it
    (over,) = (await b.status.read()).recovered
    assert over.last_refused_at == a.dependencies.last_refused["openai_key_refused"] <= again
    assert end["after_last_refusal_s"] == over.after_last_refusal_s
    assert over.answered_again_at == a.dependencies.answered_again["openai_key_refused"]
    assert end["after_answer_s"] == over.after_answer_s


async def test_one_that_began_and_ended_between_two_looks_is_told_by_the_process_that_saw_it(
    fleet: tuple[Member, Member],
) -> None:
    a, b = fleet
    await b.lease.renew()
    a.is_refused_for(0.5)
    assert await a.look() == [], "the next try had its answer"
    a.is_refused_for(3.0)
    a.is_refused_for(3.0)
    b.is_refused_for(3.0)
    begin, end = await a.look()
    assert (begin["event"], begin["code"]) == ("incident begins", "openai_key_refused")
    assert (end["event"], end["lasted_s"] >= 3.0) == ("incident ends", True)
    assert await a.look() == []
    assert await b.look() == [], "it is the same one"
    for one in fleet:
        (over,) = (await one.status.read()).recovered
        assert (over.code, over.workers, over.affected, over.of) == ("openai_key_refused", ["a"], 1, 2)


async def test_what_a_look_has_seen_begin_is_told_once(fleet: tuple[Member, Member]) -> None:
    a, b = fleet
    a.dependencies.refused(Dependency.OPENAI, "OpenAI refuses our key", kind=RefusalKind.KEY_REFUSED)
    a.clock.now += 300
    (begin,) = await a.look()
    b.is_refused_for(3.0)
    assert await b.look() == [], "it goes on"
    b.is_refused_for(3.0)
    a.dependencies.answered(Dependency.OPENAI)
    await a.lease.renew()
    (end,) = await b.look()
    assert (begin["event"], end["event"]) == ("incident begins", "incident ends")
    b.is_refused_for(3.0)
    assert await b.look() == [], "it flickers"


async def test_one_that_is_over_while_redis_is_away_is_told_when_it_is_back(
    fleet: tuple[Member, Member], redis_server: RedisServer
) -> None:
    a, _ = fleet
    await a.lease.renew()
    redis_server.stop()
    a.is_refused_for(3.0)
    await a.keeper.look()
    redis_server.start()
    told = await a.look()
    assert {(line["code"], line["event"]) for line in told} >= {
        ("openai_key_refused", "incident begins"),
        ("openai_key_refused", "incident ends"),
    }


async def test_of_two_that_see_it_at_the_same_time_one_writes(
    fleet: tuple[Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = fleet
    for one in fleet:
        one.refusals.append(KEY_REFUSED)
        await one.lease.renew()
    await b.status.read()
    assert len(await a.look()) == 1
    monkeypatch.setattr(status_module, "REMEMBER_S", 3600.0)  # b has read before a has written
    assert await b.look() == []


async def test_a_redis_that_was_away_is_remembered_when_it_is_back(
    fleet: tuple[Member, Member], redis_client: Redis, redis_server: RedisServer
) -> None:
    a, b = fleet
    await a.lease.renew()
    redis_server.stop()
    for one in (a, b):
        with capture_logs() as lines:
            await one.keeper.look()
        assert [line["code"] for line in lines if line["event"] == "incident begins"] == ["redis_away"]
    redis_server.start()
    (end,) = await a.look()
    assert (end["event"], end["code"]) == ("incident ends", "redis_away")
    assert await b.look() == []
    assert [over.code for over in (await b.status.read()).recovered] == ["redis_away"]
