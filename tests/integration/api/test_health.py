"""What `/health` reads out of a real Redis."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from support.api_services import status_reader
from wearon.dependencies import Dependencies, Dependency
from wearon.events import Events
from wearon.operations import status as module
from wearon.operations.live_view import LiveView
from wearon.operations.models import Health
from wearon.operations.report import Reporter
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.redis.clients import connect
from wearon.redis.health import RedisHealth
from wearon.refunds.intents import Intent

pytestmark = pytest.mark.slow


def intent_of(age_s: float) -> str:
    failed_at = datetime.now(UTC) - timedelta(seconds=age_s)
    intent = Intent(
        channel=Channel.B2C,
        owner_id=str(uuid4()),
        session_id=str(uuid4()),
        request_id="req_1",
        error_message="Internal error during generation",
        reason="test",
        completed_at=failed_at.isoformat(timespec="microseconds"),
    )
    return json.dumps(asdict(intent))


async def report_of(redis: Redis, **own: Any) -> Health:
    reporter = Reporter("me", LiveView(Events()), 0, **own)
    return Health.of(await status_reader(redis, own=reporter).read())


async def test_queues_are_counted(redis_client: Redis) -> None:
    await redis_client.lpush(keys.TASKS, "a", "b")
    await redis_client.lpush(keys.DEAD_LETTERS, "c")
    report = await report_of(redis_client)
    assert report.status == "ok"
    assert report.redis_connected
    assert report.queues is not None
    assert (report.queues.tasks, report.queues.dead_letters, report.queues.oldest_refund_s) == (2, 1, None)


@pytest.mark.parametrize(("age_s", "status"), [(5, "ok"), (45, "degraded")])
async def test_a_late_refund_degrades_health(redis_client: Redis, age_s: float, status: str) -> None:
    await redis_client.hset(keys.REFUNDS, "b2c:young", intent_of(1))
    await redis_client.hset(keys.REFUNDS, "b2c:old", intent_of(age_s))
    report = await report_of(redis_client)
    assert report.status == status
    assert report.queues is not None
    assert report.queues.refunds == 2
    assert report.queues.oldest_refund_s == pytest.approx(age_s, abs=4)


async def test_what_a_service_refuses_degrades_health_until_it_is_granted(redis_client: Redis) -> None:
    dependencies = Dependencies()
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key")
    report = await report_of(redis_client, refusals=lambda: dependencies.refusals)
    assert report.status == "degraded"
    assert [(refusal.dependency, refusal.words) for refusal in report.refusals] == [
        ("supabase", "Supabase refuses our key")
    ]
    dependencies.answered(Dependency.SUPABASE)
    report = await report_of(redis_client, refusals=lambda: dependencies.refusals)
    assert (report.status, report.refusals) == ("ok", [])


async def test_several_watchers_cost_redis_no_more_than_one(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBER_S", 3600.0)
    reader = status_reader(redis_client)
    await reader.read()
    before = (await redis_client.info("stats"))["total_commands_processed"]
    for _ in range(10):
        await reader.read()
    after = (await redis_client.info("stats"))["total_commands_processed"]
    assert after - before == 1  # the first of the two questions about it


@pytest.mark.parametrize(("silent_s", "status"), [(0.0, "ok"), (7.9, "ok"), (8.1, "degraded")])
async def test_whoever_has_not_written_for_two_heartbeats_is_not_well(
    redis_client: Redis, silent_s: float, status: str
) -> None:
    report = await report_of(redis_client, silent_s=lambda: silent_s)
    assert report.status == status
    assert [refusal.words for refusal in report.refusals] == (
        [] if status == "ok" else ["nothing could be written to Redis"]
    )


async def test_a_key_that_holds_something_else_hides_none_of_the_others(redis_url: str) -> None:
    health = RedisHealth()
    async with connect(redis_url, name="test", health=health) as client:
        await client.lpush(keys.TASKS, "a")
        await client.set(keys.JOBS, "text")
        report = await report_of(client, refusals=lambda: health.dependencies.refusals)
    assert report.status == "degraded"
    assert report.queues is not None
    assert (report.queues.tasks, report.queues.jobs) == (1, 0)
    assert [refusal.words for refusal in report.refusals] == ["wearon:jobs has the wrong type"]
