"""The fleet's rate limit on a real Redis. Nothing here waits for a slot: what is tested are the reservations."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import untyped
from support.redis import RedisServer
from wearon.queue import keys
from wearon.queue.rate_limiter import RequestLimiter
from wearon.redis.clients import connect

pytestmark = pytest.mark.slow

MINUTE_US = 60_000_000


async def reserve(limiter: RequestLimiter) -> float:
    """In how many seconds the next free start is, which is taken."""
    return (await limiter.reserve_turn(())).wait_s


async def reserved_starts(redis: Redis, limiters: Sequence[RequestLimiter], count: int) -> list[int]:
    """The starts (us of Redis' clock, but for a constant) of so many reservations in a row, by the limiters in turn."""
    starts = []
    for number in range(count):
        await reserve(limiters[number % len(limiters)])
        starts.append(int(await redis.get(keys.REQUEST_SLOTS) or 0))
    return starts


async def test_the_first_start_is_at_once_and_the_second_a_whole_spacing_later(redis_client: Redis) -> None:
    limiter = RequestLimiter(redis_client, per_minute=1)
    assert await reserve(limiter) == 0
    assert 50 < await reserve(limiter) <= 60.5


async def test_limiters_in_different_processes_share_one_budget(redis_client: Redis, redis_url: str) -> None:
    other_machine = connect(redis_url, name="other")
    assert await reserve(RequestLimiter(redis_client, per_minute=1)) == 0
    assert await reserve(RequestLimiter(other_machine, per_minute=1)) > 50
    await other_machine.aclose()


async def test_no_half_open_minute_holds_more_starts_than_allowed_even_if_some_are_late(redis_client: Redis) -> None:
    per_minute = 300
    limiters = [RequestLimiter(redis_client, per_minute) for _ in range(3)]
    starts = await reserved_starts(redis_client, limiters, 2 * per_minute + 1)
    late_us = 500_000
    for first, beyond_the_limit in zip(starts, starts[per_minute:], strict=False):
        assert beyond_the_limit - (first + late_us) >= MINUTE_US


async def test_concurrent_reservations_are_all_different_and_evenly_spaced(redis_client: Redis) -> None:
    limiter = RequestLimiter(redis_client, per_minute=10)
    waits = sorted(await asyncio.gather(*(reserve(limiter) for _ in range(40))))
    # Reservations are made within one spacing (6.05 s), so each falls into a spacing of its own.
    assert [round(wait / 6.05) for wait in waits] == list(range(40))


async def test_a_quiet_time_earns_no_burst(redis_client: Redis) -> None:
    limiter = RequestLimiter(redis_client, per_minute=1)
    await reserve(limiter)
    ten_minutes_ago = int((await redis_client.time())[0]) * 1_000_000 - 10 * MINUTE_US
    await redis_client.set(keys.REQUEST_SLOTS, ten_minutes_ago)
    assert await reserve(limiter) == 0
    assert await reserve(limiter) > 50


async def test_a_reservation_is_one_command(redis_client: Redis) -> None:
    limiter = RequestLimiter(redis_client, per_minute=300)
    await reserve(limiter)  # loads the script
    before = await commands_from_clients(redis_client)
    for _ in range(10):
        await reserve(limiter)
    assert await commands_from_clients(redis_client) - before == 10 + 1  # the look-up itself


async def commands_from_clients(redis: Redis) -> int:
    """How many commands have come over the wire, those inside scripts left out."""
    stats = await redis.info("commandstats")
    return sum(
        values["calls"] for name, values in stats.items() if name not in {"cmdstat_time", "cmdstat_get", "cmdstat_set"}
    )


@pytest.mark.parametrize("till", ["9" * 17, "soon"])
async def test_a_model_that_is_said_to_be_passed_over_for_longer_than_a_day_is_asked(
    redis_client: Redis, till: str
) -> None:
    turns = RequestLimiter(redis_client, per_minute=300)
    await untyped(redis_client).hset(keys.IMAGE_MODELS, "a", f"{till} missing")
    assert (await turns.reserve_turn(["a", "b"])).model == "a"
    for model in ("a", "b"):
        await turns.pass_over(model, "missing")
    await untyped(redis_client).hset(keys.IMAGE_MODELS, "", till)
    assert (await turns.reserve_turn(["a", "b"])).model is not None, "now and then one is asked all the same"


async def test_the_slots_given_out_survive_a_restart_of_redis(redis_client: Redis, redis_server: RedisServer) -> None:
    limiter = RequestLimiter(redis_client, per_minute=1)
    await reserve(limiter)
    await asyncio.to_thread(redis_server.kill)
    await asyncio.to_thread(redis_server.start)
    assert await reserve(limiter) > 50


async def test_the_key_goes_when_it_says_nothing_any_more(redis_client: Redis) -> None:
    limiter = RequestLimiter(redis_client, per_minute=1)
    await reserve(limiter)
    await reserve(limiter)
    assert 110_000 < await redis_client.pttl(keys.REQUEST_SLOTS) <= 122_000


async def test_redis_away_is_the_callers_to_decide(redis_client: Redis, redis_server: RedisServer) -> None:
    limiter = RequestLimiter(redis_client, per_minute=300)
    await reserve(limiter)
    await asyncio.to_thread(redis_server.stop)
    with pytest.raises(RedisConnectionError):
        await reserve(limiter)
    await asyncio.to_thread(redis_server.start)
    assert await reserve(limiter) >= 0


async def test_starts_are_evenly_spaced_over_all_limiters(redis_client: Redis) -> None:
    limiters = [RequestLimiter(redis_client, per_minute=60), RequestLimiter(redis_client, per_minute=60)]
    starts = await reserved_starts(redis_client, limiters, 6)
    assert [later - earlier for earlier, later in pairwise(starts)] == [1_008_334] * 5  # 60.5 s / 60, rounded up
