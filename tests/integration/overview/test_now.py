"""The fleet at a glance: what it shows, what it costs, and what it shows when Redis is away or full of rubbish."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from support.job_side import (
    GUARD_S,
    PICTURE,
    Buyer,
    FaultyPlatform,
    document,
    push,
    some_session,
    untyped,
)
from support.redis import RedisServer
from support.story_side import StorySide
from wearon.dependencies import Dependency, Refusal
from wearon.logs import Redaction
from wearon.overview import now as now_module
from wearon.overview.look import Looker
from wearon.overview.models import Now
from wearon.overview.now import Present
from wearon.tryon import keys
from wearon.tryon import pipeline as pipeline_module
from wearon.tryon.counts import minute_key
from wearon.tryon.generator import Moderated, QuotaExhausted
from wearon.tryon.journal import Journal
from wearon.tryon.leases import Lease
from wearon.tryon.progress import Progress, Run, StepName
from wearon.tryon.reports import ReportedPart, Reporter

pytestmark = pytest.mark.slow


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorySide:
    monkeypatch.setattr(pipeline_module, "OUTAGE_PATIENCE_S", 0.0)
    return StorySide(redis_client, platform, tmp_path)


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now_module, "REMEMBER_S", -1.0)


async def look(redis: Redis, **own: Any) -> Now:
    return await Present(Looker(redis), mode="production", requests_per_minute=300, **own).now()


async def commands_of(redis: Redis) -> dict[str, int]:
    """How often each command was sent since the last CONFIG RESETSTAT, but for those that scripts call."""
    stats = await untyped(redis).info("commandstats")
    # Newer servers name subcommands, too.
    return {name.removeprefix("cmdstat_").partition("|")[0]: stat["calls"] for name, stat in stats.items()}


async def test_an_empty_redis_is_all_well(redis_client: Redis) -> None:
    now = await look(redis_client)
    assert (now.status, now.problems, now.running, now.processes) == ("ok", [], [], [])
    assert now.queues is not None
    assert (now.queues.tasks, now.queues.oldest_task_s, now.queues.oldest_refund_s) == (0, None, None)
    assert len(now.last_hour) == 60
    assert [later.at - earlier.at for earlier, later in zip(now.last_hour, now.last_hour[1:], strict=False)] == (
        [timedelta(minutes=1)] * 59
    )
    assert now.failures_by_reason == {}


async def test_what_ended_is_counted(side: StorySide, buyer: Buyer) -> None:
    side.generator.answers.extend([PICTURE, Moderated("violence"), QuotaExhausted("401"), QuotaExhausted("401")])
    for _ in range(4):
        await side.run(await buyer.buy())
    now = await side.overview.now()
    minutes = now.last_hour[-2:]
    assert sum(minute.completed for minute in minutes) == 1
    assert sum(minute.failed for minute in minutes) == 3
    assert sum(minute.refunded for minute in minutes) == 3
    assert now.failures_by_reason == {"openai": 2, "moderation": 1}
    assert PICTURE.usage is not None
    assert sum(minute.cost_usd for minute in minutes) == PICTURE.usage.cost_usd
    assert now.spend_today is not None
    assert now.spend_today.pictures == 1
    assert now.spend_today.cost_usd == Decimal("0.056123")
    assert now.openai is not None
    assert now.openai.calls == 1
    assert now.openai.p50_s is not None


async def test_the_oldest_task_and_refund_have_an_age(redis_client: Redis) -> None:
    ago = (datetime.now(UTC) - timedelta(seconds=500)).isoformat()
    await push(redis_client, document(some_session(), created_at=ago), document(some_session()))
    for seconds in (40, 90):
        stamp = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
        intent = {"completed_at": stamp, "reason": 'a "completed_at": "1999-01-01"'}
        await untyped(redis_client).hset(keys.REFUNDS, f"b2c:{seconds}", json.dumps(intent))
    now = await look(redis_client)
    assert now.queues is not None
    assert 499 < (now.queues.oldest_task_s or 0) < 600
    assert 89 < (now.queues.oldest_refund_s or 0) < 190
    assert now.status == "degraded"
    assert now.problems[0].startswith("The oldest refund has been outstanding for")
    assert "No worker is running" in now.problems[1]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"\xff\x00",
        b"{}",
        b"[" * 10_000,
        b'{"created_at": 5}',
        b'{"created_at": "yesterday"}',
        b'{"created_at": "9999-12-31T23:59:59+00:00"}',
        b'{"created_at": "0001-01-01T00:00:00+23:59"}',
        b"x" * 3_000_000,
    ],
    ids=lambda document: repr(document[:30]),
)
async def test_rubbish_is_counted_and_does_no_harm(redis_client: Redis, rubbish: bytes) -> None:
    await push(redis_client, rubbish)
    await untyped(redis_client).hset(keys.REFUNDS, "b2c:x", rubbish)
    await untyped(redis_client).hset(keys.REPORTS, "worker", rubbish)
    await untyped(redis_client).zadd(keys.WORKERS, {"worker": 9e15})
    await untyped(redis_client).hset(minute_key(datetime.now(UTC)), mapping={b"completed": rubbish, b"took:x": b"1"})
    await redis_client.set(keys.REQUEST_SLOTS, rubbish)
    now = await look(redis_client)
    assert now.queues is not None
    assert (now.queues.tasks, now.queues.refunds, now.processes) == (1, 1, [])
    assert now.queues.oldest_task_s in (None, 0.0)
    assert now.last_hour[-1].completed == 0


async def test_a_look_costs_one_command_and_several_watchers_cost_no_more(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(now_module, "REMEMBER_S", 3600.0)
    await look(redis_client)  # the script is known from now on
    present = Present(Looker(redis_client), mode="production", requests_per_minute=300)
    await redis_client.config_resetstat()
    await asyncio.gather(*(present.now() for _ in range(10)))
    assert (await commands_of(redis_client))["evalsha"] == 1


async def test_minutes_that_are_over_are_read_once(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    looker = Looker(redis_client)
    await looker.look()
    await redis_client.config_resetstat()
    assert len((await looker.look()).hour) == 60
    assert (await commands_of(redis_client))["hgetall"] <= 6  # in the script: reports, the day, the last minutes


async def test_a_run_costs_one_command_more(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = StorySide(redis_client, platform, tmp_path)
    await side.run(await buyer.buy())
    ref = await buyer.buy()
    await redis_client.config_resetstat()
    await side.run(ref)
    commands = await commands_of(redis_client)
    assert commands["evalsha"] == 1
    of_the_script = {"hincrby", "expire", "rpush", "ltrim", "set"}
    assert set(commands) <= {"evalsha", "config", "info"} | of_the_script


async def test_what_a_story_weighs(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer) -> None:
    side = StorySide(redis_client, platform, tmp_path)
    ref = await buyer.buy()
    await side.run(ref)
    assert await untyped(redis_client).memory_usage(keys.JOURNAL + ref.session_id) < 2500
    assert 0 < await redis_client.ttl(keys.JOURNAL + ref.session_id) <= 24 * 3600
    (minute,) = await redis_client.keys(keys.MINUTE + "*")
    assert 0 < await redis_client.ttl(minute) <= 2 * 3600
    (day,) = await redis_client.keys(keys.DAY + "*")
    assert 0 < await redis_client.ttl(day) <= 48 * 3600


# Processes


def reporting(lease: Lease, progress: Progress, capacity: int = 2) -> Reporter:
    reporter = Reporter(
        progress,
        capacity,
        parts=lambda: [ReportedPart(name="worker", state="restarting", restarts=3, error="gone")],
        refusals=lambda: [Refusal(Dependency.OPENAI, "OpenAI refuses our key", 3.0)],
        take_longest_lag=lambda: 1.5,
    )
    lease.report = reporter.beat
    return reporter


async def test_processes_and_their_jobs_are_seen_from_everywhere(redis_client: Redis) -> None:
    lease, progress = Lease(redis_client, "worker-1", 2), Progress()
    reporting(lease, progress)
    ref = some_session()
    with progress.follow(Run(ref, "req_1", 3)):
        async with progress.step(StepName.GENERATE):
            await lease.beat()
    now = await look(redis_client)
    (process,) = now.processes
    assert (process.worker, process.capacity, process.busy, process.loop_lag_s) == ("worker-1", 2, 1, 1.5)
    (job,) = now.running
    assert (job.session_id, job.request_id, job.step, job.attempt) == (ref.session_id, "req_1", "generate", 3)
    assert "worker of worker-1 is restarting." in now.problems
    assert "worker-1 stood still for 1.5 s." in now.problems
    assert "OpenAI refuses our key, says worker-1." in now.problems
    await lease.release()
    assert (await look(redis_client)).processes == []
    assert await untyped(redis_client).hlen(keys.REPORTS) == 0


async def test_the_report_of_a_dead_process_goes_with_its_lease(redis_client: Redis) -> None:
    dead, alive = Lease(redis_client, "dead", 2), Lease(redis_client, "alive", 2)
    for lease in (dead, alive):
        reporting(lease, Progress())
        await lease.beat()
    await untyped(redis_client).zadd(keys.WORKERS, {"dead": 1})
    assert [process.worker for process in (await look(redis_client)).processes] == ["alive"]
    await alive.beat()
    assert await untyped(redis_client).hkeys(keys.REPORTS) == [b"alive"]


async def test_a_report_costs_no_command_of_its_own(redis_client: Redis) -> None:
    lease = Lease(redis_client, "worker-1", 2)
    reporting(lease, Progress())
    await lease.beat()
    await redis_client.config_resetstat()
    await lease.beat()
    assert (await commands_of(redis_client))["evalsha"] == 1


async def test_this_process_shows_itself_while_redis_is_away_and_finds_it_again(
    redis_client: Redis, redis_server: RedisServer
) -> None:
    progress = Progress()
    reporter = reporting(Lease(redis_client, "me", 2), progress)
    present = Present(Looker(redis_client), mode="local", requests_per_minute=300, own=("me", reporter.report))
    redis_server.stop()
    with progress.follow(Run(some_session(), "", 1)):
        async with asyncio.timeout(GUARD_S):
            now = await present.now()
    assert (now.queues, now.status, len(now.last_hour)) == (None, "degraded", 60)
    assert now.problems[0].startswith("Redis does not answer")
    assert [process.worker for process in now.processes] == ["me"]
    assert len(now.running) == 1
    redis_server.start()
    assert (await present.now()).queues is not None


async def test_a_worker_that_lost_its_lease_does_not_look_well(redis_client: Redis) -> None:
    reporter = reporting(Lease(redis_client, "me", 2), Progress())
    now = await look(redis_client, own=("me", reporter.report))
    assert "me was last heard of 12 s ago." in now.problems


async def test_the_live_view_wakes_at_a_step_and_otherwise_after_its_time(side: StorySide, buyer: Buyer) -> None:
    waiting = asyncio.create_task(side.overview.wait_for_change(GUARD_S * 100))
    await asyncio.sleep(0)
    await side.run(await buyer.buy())
    async with asyncio.timeout(GUARD_S):
        await waiting
        await side.overview.wait_for_change(0.01)


# A journal that cannot be written


async def test_a_redis_that_is_away_costs_the_story_and_not_the_job(
    redis_client: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.tryon.journal.WRITE_S", 0.2)
    journal = Journal(redis_client, "worker-1", kept_hours=24, redaction=Redaction([]))
    run = Run(some_session(), "req_1", 1)
    redis_server.stop()
    async with asyncio.timeout(GUARD_S):
        await journal.write_run(run, ())
        await journal.write_dead_letter(run.ref.session_id, "letter", "reason")
    redis_server.start()
    await journal.write_run(run, ())
    assert len(await journal.read(run.ref.session_id)) == 1


async def test_a_dead_letter_and_a_late_refund_stand_in_the_story(side: StorySide) -> None:
    ref = some_session()
    await side.dead_letters.add(b"{}", "not a task", session_id=ref.session_id)
    (entry,) = await side.journal.read(ref.session_id)
    assert entry.kind == "dead_letter"
    await side.dead_letters.add(b"{}", "names no session")
    assert len(await side.redis.keys(keys.JOURNAL + "*")) == 1
