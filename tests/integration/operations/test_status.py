"""The fleet at a glance: what it shows, what it costs, and what it shows when Redis is away or full of rubbish."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from support.api_services import status_reader
from support.history_side import HistorySide
from support.job_side import (
    GUARD_S,
    PICTURE,
    Buyer,
    FaultyPlatform,
    document,
    enqueue,
    new_lease,
    push,
    some_session,
    untyped,
)
from support.redis import RedisServer
from wearon.dependencies import Dependency, Refusal
from wearon.events import Events
from wearon.observability.redaction import Redaction
from wearon.observability.tracing import Tracing
from wearon.operations import status as now_module
from wearon.operations.counters import minute_key
from wearon.operations.history import HistoryStore
from wearon.operations.live_view import LiveView
from wearon.operations.models import FleetStatus
from wearon.operations.report import Reporter
from wearon.operations.snapshot import SnapshotReader
from wearon.platform import outages
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.dead_letters import DeadLetter, DeadLetterAdded
from wearon.queue.pauses import FLEET, MAX_NAMED, Pauses
from wearon.redis.clients import connect
from wearon.supervisor import Component
from wearon.tryon.image_model import Moderated, RequestRefused
from wearon.tryon.run import Run, RunEnded, Runs, StepName

pytestmark = pytest.mark.slow


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HistorySide:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    return HistorySide(redis_client, platform, tmp_path)


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now_module, "REMEMBER_S", -1.0)


async def look(redis: Redis, **own: Any) -> FleetStatus:
    return await status_reader(redis, **own).read()


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


async def test_what_ended_is_counted(side: HistorySide, buyer: Buyer) -> None:
    side.image_model.answers.extend([PICTURE, Moderated("violence"), RequestRefused("401"), RequestRefused("401")])
    for _ in range(4):
        await side.run(await buyer.buy())
    now = await side.status.read()
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


async def test_pauses_are_shown_with_the_b2c_sessions_that_the_cron_fails_soon(redis_client: Redis) -> None:
    refs = [some_session() for _ in range(4)] + [some_session(Channel.B2B)]
    for ref, age_s in zip(refs, (100, 400, 500, 700, 500), strict=True):
        await enqueue(redis_client, ref, created_at=(datetime.now(UTC) - timedelta(seconds=age_s)).isoformat())
    assert (await look(redis_client)).pauses == []
    await Pauses(redis_client).pause(FLEET, "moving", "me")
    await Pauses(redis_client).pause("b2b:1", "", "")
    now = await look(redis_client)
    assert {pause.tenant: pause.reason for pause in now.pauses} == {FLEET: "moving", "b2b:1": ""}
    assert now.near_cron == [refs[2].session_id, refs[1].session_id]
    for number in range(MAX_NAMED):
        await untyped(redis_client).hset(keys.PAUSES, f"b2b:{number}", "{}")
    assert [pause.tenant for pause in (await look(redis_client)).pauses] == [FLEET], "too many to show"


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
    assert [incident.code for incident in now.incidents] == ["refunds_late", "no_worker"]
    assert now.problems == [incident.title for incident in now.incidents]


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
async def test_rubbish_is_counted_and_does_no_harm(
    redis_client: Redis, rubbish: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.operations.status.READ_S", 30.0)  # reading 3 MB of it may take a busy machine a second
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


async def test_numbers_that_no_script_of_ours_wrote_hide_nothing(redis_client: Redis) -> None:
    await redis_client.zadd(
        keys.WAITING, {"a": float("inf"), "b": float("-inf"), "c": 1e300, "d": 3.5, "e": -2, "b2c": 4}
    )
    await redis_client.set(keys.REQUEST_SLOTS, "9" * 400)
    await untyped(redis_client).lpush(keys.TASKS, "a task")
    found = await SnapshotReader(redis_client).read()
    assert found.queues.tasks == 1
    assert found.queues.longest_lines == {"a": 0, "b": 0, "c": 0, "d": 4, "e": 0, "b2c": 4}
    assert found.next_slot_in_s == 0.0


async def test_numbers_and_times_beyond_all_measure_are_not_believed(redis_client: Redis) -> None:
    huge, year_1 = "9" * 400, "0001-01-01T00:00:00Z"
    await untyped(redis_client).hset(minute_key(datetime.now(UTC)), mapping={"call_ms": huge, "completed": 1})
    await untyped(redis_client).lpush(keys.TASKS, json.dumps({"created_at": year_1}))
    job: dict[str, Any] = {"session_id": "s", "request_id": "r", "channel": "b2c", "step": "photos", "step_s": 1e300}
    reports: dict[str, dict[str, Any]] = {
        "hangs": {"jobs": [{**job, "age_s": 1.0, "attempt": 1}]},
        "began": {"jobs": [{**job, "step_s": 1.0, "age_s": 1.0, "attempt": 1, "began_at": year_1}]},
        "slots": {"capacity": int(huge)},
        "refused": {"refusals": [{"dependency": "redis", "words": "no", "since_s": 1e300}]},
        "sound": {"jobs": [{**job, "step_s": 1.0, "age_s": 1.0, "attempt": 1}]},
    }
    for name, report in reports.items():
        found = {"host": "h", "pid": 1, "version": "9", "capacity": 1, "busy": 1, **report}
        await untyped(redis_client).hset(keys.REPORTS, name, json.dumps(found))
        await untyped(redis_client).zadd(keys.WORKERS, {name: (time.time() + 10) * 1000})
    book = {"next_from": "2026-11-30T00:00:00", "history_from": "2026-11-30T00:00:00Z"}  # the one without a zone
    await untyped(redis_client).hset(keys.BOOKS, "summary", json.dumps(book))
    times = dict.fromkeys(("at", "pass_from", "whole_from"), "2026-11-30T00:00:00Z")
    await redis_client.set(keys.RETENTION, json.dumps({"hours": 1e300, **times}))
    now = await look(redis_client)
    assert now.queues is not None
    assert (now.queues.tasks, now.queues.oldest_task_s) == (1, None)
    assert (now.last_hour[-1].completed, now.last_hour[-1].openai_s) == (1, 0.0)
    assert [process.worker for process in now.processes] == ["sound"]
    assert (now.books, now.retention) == (None, None)


async def test_what_cannot_be_read_is_named_once(redis_client: Redis) -> None:
    await redis_client.set(keys.JOBS, "text")
    await redis_client.set(minute_key(datetime.now(UTC)), "text")  # only figures are missing then
    now = await look(redis_client)
    assert [refusal.words for refusal in now.refusals] == ["wearon:jobs has the wrong type"]
    assert now.status == "degraded"
    known = Refusal(dependency=Dependency.REDIS, words="wearon:jobs is a string, not a zset", since_s=3.0)
    reporter = Reporter("me", LiveView(Events()), 0, refusals=lambda: [known])
    assert (await look(redis_client, own=reporter)).refusals == [known]


async def test_a_missing_right_is_named_and_hides_nothing_else(redis_client: Redis, redis_server: RedisServer) -> None:
    await push(redis_client, b"a")
    with sync_redis.Redis(port=redis_server.port) as admin:  # whatever the rights of the test's own user are
        admin.acl_setuser(
            "narrow", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-hlen"]
        )
        async with connect(f"redis://narrow:pw@127.0.0.1:{redis_server.port}/0", name="narrow") as narrow:
            now = await look(narrow)
        admin.acl_deluser("narrow")
    assert [refusal.words for refusal in now.refusals] == ["no right to HLEN"]
    assert now.queues is not None
    assert now.queues.tasks == 1


async def test_a_look_costs_one_command_and_several_watchers_cost_no_more(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(now_module, "REMEMBER_S", 3600.0)
    await look(redis_client)  # the script is known from now on
    reader = status_reader(redis_client)
    await redis_client.config_resetstat()
    await asyncio.gather(*(reader.read() for _ in range(10)))
    assert (await commands_of(redis_client))["evalsha"] == 1


async def test_minutes_that_are_over_are_read_once(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SnapshotReader(redis_client)
    await reader.read()
    await redis_client.config_resetstat()
    assert len((await reader.read()).last_hour) == 60
    assert (await commands_of(redis_client))["hgetall"] <= 7  # reports, day, incidents, pauses, last minutes


async def test_a_run_costs_one_command_more(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = HistorySide(redis_client, platform, tmp_path)
    await side.run(await buyer.buy())
    ref = await buyer.buy()
    await redis_client.config_resetstat()
    await side.run(ref)
    commands = await commands_of(redis_client)
    assert commands["evalsha"] == 1
    of_the_script = {
        "hincrby",
        "expire",
        "rpush",
        "ltrim",
        "set",
        "time",
        "hget",
        "hset",
        "zadd",
        "zcard",
        "zrangebyscore",
    }
    assert set(commands) <= {"evalsha", "config", "info"} | of_the_script


async def test_what_a_history_weighs(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = HistorySide(redis_client, platform, tmp_path)
    ref = await buyer.buy()
    await side.run(ref)
    assert await untyped(redis_client).memory_usage(keys.JOURNAL + ref.session_id) < 2500
    assert 0 < await redis_client.ttl(keys.JOURNAL + ref.session_id) <= 24 * 3600
    (minute,) = await redis_client.keys(keys.MINUTE + "*")
    assert 0 < await redis_client.ttl(minute) <= 2 * 3600
    (day,) = await redis_client.keys(keys.DAY + "*")
    assert 0 < await redis_client.ttl(day) <= 48 * 3600


# Processes


def reporter_of(events: Events, worker_id: str = "worker-1") -> Reporter:
    return Reporter(
        worker_id,
        LiveView(events),
        2,
        components=lambda: [Component(name="worker", state="restarting", restarts=3, error="gone")],
        refusals=lambda: [
            Refusal(dependency=Dependency.OPENAI, kind="key_refused", words="OpenAI refuses our key", since_s=3.0)
        ],
        take_longest_lag=lambda: 1.5,
    )


async def test_processes_and_their_jobs_are_seen_from_everywhere(redis_client: Redis) -> None:
    events = Events()
    runs, reporter = Runs(events, Tracing()), reporter_of(events)
    lease = new_lease(redis_client, "worker-1", 2, report=reporter.beat)
    ref = some_session()
    async with runs.follow(Run(ref, "req_1", 3)), runs.step(StepName.GENERATE):
        await lease.renew()
    now = await look(redis_client)
    (process,) = now.processes
    assert (process.worker, process.capacity, process.busy, process.loop_lag_s) == ("worker-1", 2, 1, 1.5)
    (job,) = now.running
    assert (job.session_id, job.request_id, job.step, job.attempt) == (ref.session_id, "req_1", "generate", 3)
    assert "worker of worker-1 is restarting: gone." in now.problems
    assert "worker-1 stood still for 1.5 s." in now.problems
    assert ["worker-1"] in [one.workers for one in now.incidents if one.title == "OpenAI refuses our key."]
    await lease.release()
    assert (await look(redis_client)).processes == []
    assert await untyped(redis_client).hlen(keys.REPORTS) == 0


async def test_the_report_of_a_dead_process_goes_with_its_lease(redis_client: Redis) -> None:
    dead, alive = (
        new_lease(redis_client, name, 2, report=reporter_of(Events(), name).beat) for name in ("dead", "alive")
    )
    for lease in (dead, alive):
        await lease.renew()
    await untyped(redis_client).zadd(keys.WORKERS, {"dead": 1})
    assert [process.worker for process in (await look(redis_client)).processes] == ["alive"]
    await alive.renew()
    assert await untyped(redis_client).hkeys(keys.REPORTS) == [b"alive"]


async def test_a_report_costs_no_command_of_its_own(redis_client: Redis) -> None:
    lease = new_lease(redis_client, "worker-1", 2, report=reporter_of(Events()).beat)
    await lease.renew()
    await redis_client.config_resetstat()
    await lease.renew()
    assert (await commands_of(redis_client))["evalsha"] == 1


async def test_this_process_shows_itself_while_redis_is_away_and_finds_it_again(
    redis_client: Redis, redis_server: RedisServer
) -> None:
    events = Events()
    runs, reporter = Runs(events, Tracing()), reporter_of(events, "me")
    reader = status_reader(redis_client, mode="local", own=reporter)
    redis_server.stop()
    async with runs.follow(Run(some_session(), "", 1)), asyncio.timeout(GUARD_S):
        now = await reader.read()
    assert (now.queues, now.status, len(now.last_hour)) == (None, "degraded", 60)
    assert now.problems[0].startswith("Redis does not answer")
    assert [process.worker for process in now.processes] == ["me"]
    assert len(now.running) == 1
    redis_server.start()
    assert (await reader.read()).queues is not None


async def test_a_worker_that_lost_its_lease_does_not_look_well(redis_client: Redis) -> None:
    reporter = reporter_of(Events(), "me")
    now = await look(redis_client, own=reporter)
    assert "me sent its last heartbeat 12 s ago." in now.problems


async def test_a_step_wakes_the_live_view(side: HistorySide, buyer: Buyer) -> None:
    waiting = asyncio.create_task(side.live_view.wait_for_change())
    await asyncio.sleep(0)
    await side.run(await buyer.buy())
    async with asyncio.timeout(GUARD_S):
        await waiting


# A history that cannot be written


async def test_a_redis_that_is_away_costs_the_history_and_not_the_job(
    redis_client: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.operations.history.WRITE_S", 0.2)
    store = HistoryStore(redis_client, "worker-1", kept_hours=24, redaction=Redaction([]))
    events = Events()
    store.subscribe(events)
    run = Run(some_session(), "req_1", 1)
    redis_server.stop()
    async with asyncio.timeout(GUARD_S):
        await events.publish(RunEnded(run, ()))
        await events.publish(DeadLetterAdded(DeadLetter("letter", "", "reason", "", run.ref.session_id)))
    redis_server.start()
    await events.publish(RunEnded(run, ()))
    assert len(await store.read(run.ref.session_id)) == 1


async def test_a_dead_letter_and_a_late_refund_stand_in_the_history(side: HistorySide) -> None:
    ref = some_session()
    await side.dead_letters.add(b"{}", "not a task", session_id=ref.session_id)
    (entry,) = await side.store.read(ref.session_id)
    assert entry.kind == "dead_letter"
    await side.dead_letters.add(b"{}", "names no session")
    assert len(await side.redis.keys(keys.JOURNAL + "*")) == 1
