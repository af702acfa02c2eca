"""Kept charts on a real Redis: versions, limits, and what a process goes on with while Redis is away."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from support.job_side import OPERATOR, new_audit_log
from support.redis import RedisServer
from wearon.queue import keys
from wearon.redis.clients import connect
from wearon.shop_charts import cache, store
from wearon.shop_charts.cache import FRESH_S, ChartCache, ChartsAway
from wearon.shop_charts.store import (
    ChartChanged,
    ChartReference,
    ChartStore,
    KeptChart,
    TooManyCharts,
    UnknownChart,
    UnreadableChart,
)
from wearon.sizing import DEFAULT_CHART, Size, SizeChart

SHIRTS = ChartReference("acme", "shirts")
OTHER = SizeChart(sizes=(Size(name="Größe 1", chest_cm=100), Size(name="2", chest_cm=None)))


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting(ChartStore):
    """Counts what is read; `stands_still`: no answer comes."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, new_audit_log(redis))
        self.read: list[ChartReference] = []
        self.stands_still = False

    async def get(self, reference: ChartReference) -> KeptChart:
        self.read.append(reference)
        if self.stands_still:
            await asyncio.Event().wait()
        return await super().get(reference)


@pytest.fixture
def charts(redis_client: Redis) -> Counting:
    return Counting(redis_client)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remembered(charts: Counting, clock: Clock) -> ChartCache:
    return ChartCache(charts, clock)


async def test_a_chart_comes_back_as_it_was_put_and_its_versions_count_changes(charts: Counting) -> None:
    first = await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR)
    again = await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR)
    assert (first.version, again) == (1, first)
    second = await charts.put(SHIRTS, OTHER, OPERATOR)
    assert (second.version, second.stored_at >= first.stored_at) == (2, True)
    assert await charts.get(SHIRTS) == second
    (summary,) = await charts.list("acme")
    assert (summary.name, summary.version, await charts.stores()) == ("shirts", 2, {"acme": 1})
    await charts.delete(SHIRTS, OPERATOR)
    with pytest.raises(UnknownChart):
        await charts.get(SHIRTS)
    with pytest.raises(UnknownChart):
        await charts.delete(SHIRTS, OPERATOR)
    assert (await charts.stores(), await charts.list("acme")) == ({}, [])


async def test_every_form_of_a_chart_comes_back_as_it_was_put(charts: Counting) -> None:
    jeans = {
        "garment": "jeans", "unit": "in", "measured_on": "garment", "laid_flat": True, "stretch": 0.05,
        "ease": {"waist": {"min": 0, "max": 2}}, "matters": {"waist": 1, "inseam": 0.5}, "separator": "-",
        "sizes": [{"name": "W32", "waist": 16.5, "length": {"min": 100, "max": 101}}, {"name": "W34", "waist": 17}],
        "second_sizes": [{"name": "L32", "inseam": 32}, {"name": "L34", "inseam": 34}], "pairs": [["W32", "L32"]],
    }  # fmt: skip
    dress = {"garment": "dress", "matters": ["chest"], "sizes": [{"name": "S", "chest": {"max": 90}}]}
    for form in (jeans, dress):
        chart = SizeChart.model_validate(form)
        await charts.put(SHIRTS, chart, OPERATOR)
        assert (await charts.get(SHIRTS)).chart == chart


async def test_of_two_who_change_the_same_version_one_is_told(charts: Counting) -> None:
    assert (await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR, replaces=0)).version == 1
    with pytest.raises(ChartChanged):
        await charts.put(SHIRTS, OTHER, OPERATOR, replaces=0)
    assert (await charts.put(SHIRTS, OTHER, OPERATOR, replaces=1)).version == 2
    with pytest.raises(ChartChanged, match="version 2"):
        await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR, replaces=1)


async def test_charts_of_a_store_and_stores_are_bounded(charts: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_CHARTS", 2)
    monkeypatch.setattr(store, "MOST_STORES", 2)
    monkeypatch.setattr(store, "MAX_CHART_BYTES", 500)
    for name in ("a/1", "a/2", "b/1"):
        await charts.put(ChartReference.parse(name), OTHER, OPERATOR)
    await charts.put(ChartReference("a", "2"), DEFAULT_CHART, OPERATOR)  # one that is there can be changed
    for name in ("a/3", "c/1"):
        with pytest.raises(TooManyCharts):
            await charts.put(ChartReference.parse(name), OTHER, OPERATOR)
    with pytest.raises(TooManyCharts, match="500 bytes"):
        await charts.put(
            SHIRTS, SizeChart(sizes=tuple(Size(name=f"{n:020}", chest_cm=n + 1) for n in range(20))), OPERATOR
        )
    assert await charts.stores() == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    "foreign", [b"", b"1 2", b"x y z", b"5 999999999999999 {}", b'1 5 {"sizes": [], "of_a_newer": "version"}', b"\xff"]
)
async def test_what_is_no_chart_is_named_and_takes_nothing_along(
    charts: Counting, remembered: ChartCache, redis_client: Redis, foreign: bytes
) -> None:
    await charts.put(ChartReference("acme", "good"), OTHER, OPERATOR)
    await redis_client.hset(keys.CHARTS + "acme", "shirts", foreign)
    with pytest.raises(UnreadableChart):
        await charts.get(SHIRTS)
    with pytest.raises(ChartsAway):
        await remembered.find(SHIRTS)
    assert (await remembered.find(ChartReference("acme", "good"))).chart == OTHER
    assert (await charts.put(SHIRTS, OTHER, OPERATOR)).chart == OTHER
    await redis_client.hset(keys.CHART_STORES, "other", foreign)
    assert await charts.stores() == {"acme": 1, "other": 0}


async def test_a_chart_costs_one_read_a_minute_and_a_change_is_seen_after_it(
    charts: Counting, remembered: ChartCache, clock: Clock
) -> None:
    await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR)
    found = await asyncio.gather(*(remembered.find(SHIRTS) for _ in range(20)))
    assert {kept.version for kept in found} == {1}
    await charts.put(SHIRTS, OTHER, OPERATOR)
    clock.now += FRESH_S - 1
    assert (await remembered.find(SHIRTS)).version == 1
    assert charts.read == [SHIRTS]
    clock.now += 1
    assert (await remembered.find(SHIRTS)).version == 2
    await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR)
    remembered.forget(SHIRTS)  # as the process does that was asked to put it
    assert (await remembered.find(SHIRTS)).version == 3
    await charts.delete(SHIRTS, OPERATOR)
    clock.now += FRESH_S
    for _ in range(3):
        with pytest.raises(UnknownChart):
            await remembered.find(SHIRTS)
    assert len(charts.read) == 4


async def test_estimates_go_on_while_redis_is_away(
    charts: Counting, remembered: ChartCache, clock: Clock, redis_server: RedisServer
) -> None:
    await charts.put(SHIRTS, OTHER, OPERATOR)
    await remembered.find(SHIRTS)
    redis_server.stop()
    for _ in range(5):
        clock.now += FRESH_S
        assert (await remembered.find(SHIRTS)).chart == OTHER
    with pytest.raises(ChartsAway):
        await remembered.find(ChartReference("acme", "never-seen"))
    redis_server.start()
    await charts.put(SHIRTS, DEFAULT_CHART, OPERATOR)
    clock.now += FRESH_S
    while (await remembered.find(SHIRTS)).version == 1:
        clock.now += FRESH_S  # the last read may still be trying to connect
        await asyncio.sleep(0.05)


async def test_a_redis_that_does_not_answer_is_waited_for_once(
    charts: Counting, remembered: ChartCache, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await charts.put(SHIRTS, OTHER, OPERATOR)
    await remembered.find(SHIRTS)
    charts.stands_still = True
    monkeypatch.setattr(cache, "PATIENCE_S", 0.01)
    clock.now += FRESH_S
    assert (await remembered.find(SHIRTS)).chart == OTHER
    monkeypatch.setattr(cache, "PATIENCE_S", 3600)  # nothing is waited for from now on
    async with asyncio.timeout(20):
        assert (await remembered.find(SHIRTS)).chart == OTHER
        with pytest.raises(ChartsAway):
            await remembered.find(ChartReference("acme", "never-seen"))
    assert len(charts.read) == 2


async def test_made_up_names_are_asked_for_so_often_and_take_no_place(
    charts: Counting, remembered: ChartCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_UNKNOWN", 10)
    await charts.put(SHIRTS, OTHER, OPERATOR)
    await remembered.find(SHIRTS)
    refusals = []
    for n in range(200):
        with pytest.raises((UnknownChart, ChartsAway)) as refusal:
            await remembered.find(ChartReference("acme", f"made-up-{n}"))
        refusals.append(refusal.type)
    assert len(charts.read) == cache.NEW_AT_ONCE
    assert refusals.count(UnknownChart) == cache.NEW_AT_ONCE - 1
    assert (await remembered.find(SHIRTS)).chart == OTHER


async def test_the_least_used_chart_is_forgotten(
    charts: Counting, remembered: ChartCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_CHARTS", 2)
    for name in ("a", "b", "a", "c", "a"):
        await charts.put(ChartReference("acme", name), OTHER, OPERATOR)
        await remembered.find(ChartReference("acme", name))
    assert [reference.name for reference in charts.read] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", "acme", "acme/", "/x", "../x", "a/b/c", "a b/c", "a/" + "x" * 65, "a/b\n", "ä/b"])
def test_what_names_no_chart_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="STORE/NAME"):
        ChartReference.parse(text)


async def test_errors_of_redis_are_the_callers_to_hear() -> None:
    nobody = connect("redis://127.0.0.1:1/0", name="test")
    with pytest.raises((RedisError, OSError)):
        await ChartStore(nobody, new_audit_log(nobody)).get(SHIRTS)
    await nobody.aclose()
