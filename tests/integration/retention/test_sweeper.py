"""Rounds of deleting old pictures, on a real Redis and both platforms: what goes, what stays, and whose turn it is."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from support.books import Books
from support.job_side import (
    FaultyPlatform,
    ScriptedJob,
    defer,
    document,
    enqueue,
    never,
    new_dead_letters,
    push,
    running_worker,
    untyped,
)
from support.platform_side import LocalSide, PlatformSide
from wearon.metrics import Metrics
from wearon.operations.incidents import retention as incidents
from wearon.operations.models import FleetStatus
from wearon.operations.retention import named, sweeper, walk
from wearon.operations.retention.store import RoundStore
from wearon.operations.retention.sweeper import Sweeper
from wearon.operations.snapshot import SnapshotReader
from wearon.platform import outages
from wearon.platform.base import Channel, Platform, PlatformUnavailable, SessionRef, Status
from wearon.queue import keys

HOUR = timedelta(hours=1)
OLD = 7 * HOUR
YOUNG = 5 * HOUR


def new_sweeper(redis: Redis, platform: Platform, metrics: Metrics | None = None) -> Sweeper:
    return Sweeper(redis, platform, metrics or Metrics(), hours=6, requests_per_s=1e9)


def photo(store: str | None = None, name: str = "person-1764400000000") -> str:
    return f"{f'stores/{store}/' if store else ''}uploads/{name}-{uuid4()}.jpg"


def url_of(path: str) -> str:
    return f"https://pictures.example/storage/v1/object/sign/virtual-tryon-images/{quote(path)}?token=x"


def result(side: PlatformSide, channel: Channel, status: Status, ended: timedelta | None, age: timedelta = OLD) -> str:
    """An old result, and its session."""
    ref = side.add_session(channel, status, created_at=datetime.now(UTC) - OLD)
    table = "generation_sessions" if channel is Channel.B2C else "store_generation_sessions"
    if ended is not None:
        query: Any = f"update {table} set completed_at = %s where id = %s"
        side.sql(query, [datetime.now(UTC) - ended, ref.session_id])
    return side.put(ref.picture_path, age=age)


async def test_what_is_old_goes_and_what_anybody_needs_stays(
    side: PlatformSide, redis_client: Redis, channel: Channel
) -> None:
    store = str(uuid4()) if channel is Channel.B2B else None
    old = [
        result(side, channel, Status.COMPLETED, OLD),
        result(side, channel, Status.FAILED, OLD),
        result(side, channel, Status.FAILED, None),  # by the platform's own code, which does not say when
        side.put(SessionRef(channel, str(uuid4()), str(uuid4())).picture_path, age=OLD),  # its row is gone
        *(side.put(photo(store), age=OLD) for _ in range(3)),
    ]
    kept = [
        *(result(side, channel, status, None) for status in (Status.QUEUED, Status.PROCESSING)),
        result(side, channel, Status.COMPLETED, YOUNG),  # its link is still valid
        result(side, channel, Status.COMPLETED, OLD, age=YOUNG),
        side.put(photo(store), age=YOUNG),
    ]
    unknown = [
        side.put(path, age=OLD)
        for path in (
            "uploads/summer-dress.jpg",  # somebody's garment, which many try on
            f"stores/{store}/uploads/summer-dress.jpg",
            f"garments/{uuid4()}.jpg",
            f"{photo(store)}.bak",
            f"uploads/{uuid4()}/{photo().removeprefix('uploads/')}",
            f"generated/{uuid4()}/{uuid4()}.png",
            f"generated/{uuid4()}.jpg",
        )
    ]
    metrics = Metrics()
    its_sweeper = new_sweeper(redis_client, side.platform, metrics)
    counted = await its_sweeper.sweep(dry_run=True)
    assert side.paths() == {*old, *kept, *unknown}

    made = await its_sweeper.sweep()

    assert side.paths() == {*kept, *unknown}
    assert (made.results, made.uploads, made.in_use, made.is_whole) == (4, 3, 3, True)
    assert (counted.results, counted.uploads, counted.in_use) == (4, 3, 3)
    assert all(any(path.startswith(example) for path in unknown) for example in made.examples)
    for kind, count in (("result", 4), ("upload", 3)):
        assert metrics.registry.get_sample_value("wearon_deleted_pictures_total", {"kind": kind}) == count
    # The auditor knows that a result need not be there any more.
    assert await Books(side, redis_client).found() == set()


async def in_the_list(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await push(redis, document(ref, image_urls=urls))


async def in_the_list_escaped(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    text = document(ref, image_urls=["https://proxy.example/?of=" + quote(url, safe="") for url in urls]).decode()
    await push(redis, text.replace("-", "\\u002d").encode())


async def in_the_list_but_unusable(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await push(redis, document(ref, image_urls=urls, version=9)[:-1])


async def taken(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await untyped(redis).lpush(keys.PENDING, document(ref, image_urls=urls))


async def as_a_job(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await enqueue(redis, ref, image_urls=urls)


async def as_a_deferred_job(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await enqueue(redis, ref, image_urls=urls)
    await defer(redis, ref, 9e15)


async def as_a_dead_letter(redis: Redis, ref: SessionRef, urls: list[str]) -> None:
    await new_dead_letters(redis).add(document(ref, image_urls=urls), "no such session", session_id=ref.session_id)


Place = Callable[[Redis, SessionRef, list[str]], Awaitable[None]]
PLACES: list[Place] = [
    in_the_list,
    in_the_list_escaped,
    in_the_list_but_unusable,
    taken,
    as_a_job,
    as_a_deferred_job,
    as_a_dead_letter,
]


@pytest.mark.parametrize("place", PLACES)
async def test_an_upload_stays_while_a_task_names_it(
    local_side: LocalSide, redis_client: Redis, channel: Channel, place: Place
) -> None:
    ref = local_side.add_session(channel, created_at=datetime.now(UTC) - OLD)
    named_one, other = local_side.put(photo(), age=OLD), local_side.put(photo(), age=OLD)
    await place(redis_client, ref, [url_of(named_one)])
    made = await new_sweeper(redis_client, local_side.platform).sweep()
    assert local_side.paths() == {named_one}
    assert (made.uploads, made.in_use) == (1, 1)
    await redis_client.delete(keys.TASKS, keys.PENDING, keys.JOBS, keys.DEAD_LETTERS)
    await new_sweeper(redis_client, local_side.platform).sweep()
    assert other not in local_side.paths()
    assert local_side.paths() == set()


async def test_an_upload_stays_while_the_job_that_names_it_runs(local_side: LocalSide, redis_client: Redis) -> None:
    path = local_side.put(photo(), age=OLD)
    job = ScriptedJob()
    job.answers.append(never())
    await enqueue(redis_client, local_side.add_session(Channel.B2C), image_urls=[url_of(path)])
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
        await new_sweeper(redis_client, local_side.platform).sweep()
        assert local_side.paths() == {path}


async def test_a_dead_letter_whose_session_has_ended_keeps_no_upload(
    local_side: LocalSide, redis_client: Redis
) -> None:
    """Retrying it would do nothing, and it may lie there for years."""
    ref = local_side.add_session(Channel.B2C, Status.FAILED)
    path = local_side.put(photo(), age=OLD)
    await as_a_dead_letter(redis_client, ref, [url_of(path)])
    await new_sweeper(redis_client, local_side.platform).sweep()
    assert local_side.paths() == set()


async def test_with_too_many_tasks_to_read_uploads_are_left_and_it_is_said(
    local_side: LocalSide, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "MOST_TASKS", 0)
    await in_the_list(redis_client, local_side.add_session(Channel.B2C), [])
    path = local_side.put(photo(), age=OLD)
    gone = result(local_side, Channel.B2C, Status.COMPLETED, OLD)
    made = await new_sweeper(redis_client, local_side.platform).sweep()
    assert local_side.paths() == {path}
    assert gone not in local_side.paths()
    assert made.error == sweeper.TOO_MANY_TASKS


async def test_a_folder_of_many_pages_is_emptied_of_what_is_old(
    side: PlatformSide, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "PAGE", 3)
    monkeypatch.setattr(sweeper, "DELETED_AT_ONCE", 2)
    paths = [side.put(photo(), age=OLD + number * HOUR) for number in range(10)]
    young = {side.put(photo(), age=YOUNG) for _ in range(4)}
    odd = {side.put("uploads/dress.jpg", age=40 * HOUR), side.put("uploads/shirt.jpg", age=OLD + HOUR / 2)}
    kept = {paths[0], paths[4], paths[9]}
    await in_the_list(redis_client, side.add_session(Channel.B2C), [url_of(path) for path in sorted(kept)])
    await new_sweeper(redis_client, side.platform).sweep()
    assert side.paths() == kept | young | odd


async def test_a_round_that_ends_early_is_gone_on_with(local_side: LocalSide, redis_client: Redis) -> None:
    for channel in Channel:
        for _ in range(3):
            result(local_side, channel, Status.COMPLETED, OLD)
    stores = [str(uuid4()) for _ in range(3)]
    for store in stores:
        local_side.put(photo(store), age=OLD)
        local_side.put(photo(store).replace("uploads/", "uploads/2026/11/"), age=OLD)
    its_sweeper = new_sweeper(redis_client, local_side.platform)
    rounds = [await its_sweeper.sweep(most_listings=5)]
    began = rounds[0].pass_from
    while not rounds[-1].is_whole:
        rounds.append(await its_sweeper.sweep(most_listings=5))
        assert len(rounds) < 20
    assert local_side.paths() == set()
    assert len(rounds) > 3
    assert sum(made.results for made in rounds) == sum(made.uploads for made in rounds) == 6
    assert {made.pass_from for made in rounds} == {began}
    assert rounds[-1].whole_from == began


@asynccontextmanager
async def away(platform: Platform, method: str) -> AsyncIterator[FaultyPlatform]:
    faulty = FaultyPlatform(platform)
    faulty.break_next(method, error=PlatformUnavailable("no answer"), times=1000)
    yield faulty


@pytest.mark.parametrize("method", ["list_folder", "needed_results", "delete_pictures"])
async def test_one_process_of_the_fleet_deletes_and_another_goes_on_when_it_cannot(
    local_side: LocalSide, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    first = result(local_side, Channel.B2C, Status.COMPLETED, OLD)
    async with away(local_side.platform, method) as faulty:
        with pytest.raises(PlatformUnavailable):
            await new_sweeper(redis_client, faulty).sweep_in_turn()
    assert local_side.paths() == {first}
    assert (await status(redis_client)).retention.error == "no answer"  # type: ignore[union-attr]
    await new_sweeper(redis_client, local_side.platform).sweep_in_turn()
    assert local_side.paths() == set()
    second = result(local_side, Channel.B2C, Status.COMPLETED, OLD)
    await new_sweeper(redis_client, local_side.platform).sweep_in_turn()
    assert local_side.paths() == {second}, "it was no process's turn"


async def status(redis: Redis) -> FleetStatus:
    snapshot = await SnapshotReader(redis).read()
    return FleetStatus(at=snapshot.at, mode="local", status="ok", retention=snapshot.retention)


async def test_a_storage_that_is_away_is_an_incident_only_when_it_lasts(
    local_side: LocalSide, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    async with away(local_side.platform, "list_folder") as faulty:
        with pytest.raises(PlatformUnavailable):
            await new_sweeper(redis_client, faulty).sweep_in_turn()
    fleet = await status(redis_client)
    assert not list(incidents.find(fleet))
    late = fleet.model_copy(update={"at": fleet.at + 6 * HOUR + timedelta(minutes=1)})
    (incident,) = incidents.find(late)
    assert (incident.code, incident.detail) == ("retention_behind", "no answer")
    # Nobody deletes any more, because it was switched off: what was noted of it does not last.
    assert 0 < await untyped(redis_client).ttl(keys.RETENTION) <= 3600


async def test_what_redis_holds_of_it_may_be_anything(local_side: LocalSide, redis_client: Redis) -> None:
    gone = result(local_side, Channel.B2B, Status.COMPLETED, OLD)
    for odd in (b"{", b"[]", json.dumps({"next_folder": "../.."}).encode()):
        await redis_client.set(keys.RETENTION, odd)
        assert await RoundStore(redis_client).read() is None
    await new_sweeper(redis_client, local_side.platform).sweep()
    assert gone not in local_side.paths()
