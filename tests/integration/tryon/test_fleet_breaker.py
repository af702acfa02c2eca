"""The fleet's breaker on a real Redis: which ends of attempts pause the fleet, and which let it go on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import new_lease, some_session
from wearon.events import Events
from wearon.platform.base import Channel
from wearon.queue.lease import Lease
from wearon.queue.pauses import FEW_REFUSALS, FLEET, Pause, Pauses
from wearon.queue.tenants import tenant_of
from wearon.tryon.fleet_breaker import FleetBreaker
from wearon.tryon.retry_policy import Reason, Refused
from wearon.tryon.run import Outcome, Run, RunEnded

pytestmark = pytest.mark.slow


class Process:
    """The breaker's part in one process of the fleet."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.pauses = Pauses(redis)
        self.events = Events()
        self.breaker = FleetBreaker(self.pauses, name, self.events)
        self.lease: Lease = new_lease(redis, name, 1, events=self.events)

    async def ends(self, outcome: Outcome, began_s_ago: float = 0.0, **more: Any) -> None:
        """An attempt ends here."""
        run = Run(some_session(), "req", 1, began_at=datetime.now(UTC) - timedelta(seconds=began_s_ago))
        run.outcome = outcome
        for name, value in more.items():
            setattr(run, name, value)
        await self.events.publish(RunEnded(run, []))

    async def refused(self, times: int = FEW_REFUSALS, by: Refused = Refused.KEY) -> None:
        """So many attempts are refused."""
        for _ in range(times):
            await self.ends(Outcome.RETRIED, refused=by, reason="KeyRejected: status 401", category=Reason.OPENAI)

    async def pause(self) -> Pause | None:
        """Of the fleet."""
        return (await self.pauses.list()).get(FLEET)


@pytest.fixture
def one(redis_client: Redis) -> Process:
    return Process(redis_client, "one")


@pytest.fixture
def other(redis_client: Redis) -> Process:
    return Process(redis_client, "other")


PICTURE: dict[str, Any] = {"answered_s": [1.0]}


async def test_refusals_of_all_processes_pause_the_fleet_and_say_why(one: Process, other: Process) -> None:
    await one.refused(FEW_REFUSALS - 1)
    assert await one.pause() is None
    await other.refused(1)
    pause = await one.pause()
    assert pause
    assert pause.is_own
    assert (pause.cause, pause.by) == ("key", "other")
    assert pause.reason == "OpenAI refuses our key (KeyRejected: status 401)"


async def test_refusals_of_different_things_or_with_a_picture_between_are_no_reason(one: Process) -> None:
    for refused in (Refused.KEY, Refused.QUOTA, Refused.MODEL, Refused.BUCKET):
        await one.refused(1, refused)
    await one.refused(FEW_REFUSALS - 2)
    assert await one.pause() is None
    await one.ends(Outcome.COMPLETED, **PICTURE)
    await one.refused(FEW_REFUSALS - 1)
    assert await one.pause() is None


@pytest.mark.parametrize(
    "success",
    [
        {"outcome": Outcome.COMPLETED, **PICTURE},
        {"outcome": Outcome.FAILED, "category": Reason.MODERATION},
    ],
    ids=["picture", "moderation"],
)
async def test_one_that_asked_after_the_pause_was_seen_ends_it_for_all(
    one: Process, other: Process, success: dict[str, Any]
) -> None:
    await one.refused()
    await other.lease.renew()
    await other.ends(began_s_ago=5.0, **success)
    assert await one.pause(), "it may have asked before"
    await other.ends(Outcome.COMPLETED)
    assert await one.pause(), "its picture was found in the spool: nothing was asked"
    await other.ends(**success)
    assert await one.pause() is None


@pytest.mark.parametrize(
    "end",
    [
        {"outcome": Outcome.ENDED_ELSEWHERE},
        {"outcome": Outcome.DEAD_LETTER, "category": Reason.TASK},
        {"outcome": Outcome.FAILED, "category": Reason.PICTURE},
        {"outcome": Outcome.FAILED, "category": Reason.TASK},
        {"outcome": Outcome.COMPLETED},
    ],
    ids=["ended elsewhere", "dead letter", "picture", "unusable job", "spool"],
)
async def test_a_probe_that_asked_nothing_makes_room_for_the_next(one: Process, end: dict[str, Any]) -> None:
    await one.refused()
    await one.lease.renew()
    await one.ends(**end)
    pause = await one.pause()
    assert pause
    assert pause.probed_ms == 0


async def test_a_probe_that_is_refused_or_past_its_deadline_makes_none(one: Process) -> None:
    await one.refused()
    await one.lease.renew()
    await one.refused()
    await one.ends(Outcome.FAILED, category=Reason.DEADLINE)
    await one.ends(Outcome.RETRIED, category=Reason.PLATFORM)
    pause = await one.pause()
    assert pause
    assert pause.probed_ms == pause.since_ms


async def test_no_success_ends_an_operators_pause(one: Process) -> None:
    await one.pauses.pause(FLEET, "", "an operator")
    await one.lease.renew()
    await one.ends(Outcome.COMPLETED, **PICTURE)
    assert await one.pause()


async def test_each_process_knows_whose_jobs_are_paused(one: Process) -> None:
    store, shopper = some_session(Channel.B2B), some_session()
    await one.pauses.pause(tenant_of(store.channel, store.owner_id), "", "")
    await one.lease.renew()
    assert (one.breaker.is_paused(store), one.breaker.is_paused(shopper)) == (True, False)
    await one.pauses.pause(FLEET, "", "")
    await one.lease.renew()
    assert one.breaker.is_paused(shopper)


async def test_a_redis_that_is_away_stops_no_attempt(one: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise RedisConnectionError("away")

    monkeypatch.setattr(one.pauses, "count_refusal", away)
    await one.refused()
    monkeypatch.undo()
    await one.refused()
    assert await one.pause()
