"""A process that stands still just before it pays, for longer than the lock: on a real Redis and PostgREST."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext

import pytest
from redis.asyncio import Redis

from support.gateway import Fault
from support.job_side import (
    FaultyPlatform,
    new_outbox,
)
from support.observers import platform_observers
from support.platform_side import BALANCE, SupabaseSide
from support.postgrest import Supabase, fail_and_refund_installed
from wearon.platform.base import Channel, SessionRef, Status
from wearon.platform.supabase import SupabasePlatform
from wearon.queue import keys
from wearon.refunds.outbox import RefundOutbox

pytestmark = pytest.mark.slow

CALL = {True: "fail_and_refund", False: "give_back"}
"""The call that pays: where the operator has installed the function, and where not."""


@pytest.fixture
async def side(supabase: Supabase) -> AsyncIterator[SupabaseSide]:
    platform = await SupabasePlatform.connect(
        supabase.url, supabase.service_role_key, **platform_observers(), rest_seconds=2.0
    )
    yield SupabaseSide(supabase, platform)
    await platform.aclose()


async def fail(outbox: RefundOutbox, ref: SessionRef) -> None:
    await outbox.fail(ref, "req_test", "Internal error during generation", "a test")


async def let_the_lock_run_out(redis: Redis) -> None:
    """What 20 s do."""
    assert await redis.delete(*await redis.keys(f"{keys.REFUND_LOCK}*")) == 1


@pytest.mark.parametrize(
    ("is_installed", "refunds"), [(True, 1), (False, 2)], ids=["with the function", "without: not promised"]
)
async def test_a_process_that_stands_still_before_the_call_pays_once_with_the_function(
    redis_client: Redis, supabase: Supabase, side: SupabaseSide, is_installed: bool, refunds: int
) -> None:
    ref = side.add_session(Channel.B2C, Status.PROCESSING, owner_id=side.add_user())
    frozen = FaultyPlatform(side.platform)
    stands_still, thawed = asyncio.Event(), asyncio.Event()

    async def stand_still(method: str) -> None:
        if method == CALL[is_installed]:
            stands_still.set()
            await thawed.wait()

    frozen.before = stand_still
    with fail_and_refund_installed(supabase) if is_installed else nullcontext():
        failing = asyncio.create_task(fail(new_outbox(redis_client, frozen), ref))
        await asyncio.wait_for(stands_still.wait(), 20)
        await let_the_lock_run_out(redis_client)
        await new_outbox(redis_client, side.platform).settle_due()  # another process
        assert side.user_balance(ref.owner_id) == BALANCE + 1
        thawed.set()
        await asyncio.wait_for(failing, 20)
    assert len(side.user_refunds(ref.owner_id)) == refunds
    assert side.user_balance(ref.owner_id) == BALANCE + refunds
    assert await new_outbox(redis_client, side.platform).pending() == []


async def test_a_call_that_arrives_long_after_it_was_given_up_pays_once(
    redis_client: Redis, supabase: Supabase, side: SupabaseSide
) -> None:
    ref = side.add_session(Channel.B2C, Status.PROCESSING, owner_id=side.add_user())
    with fail_and_refund_installed(supabase):
        late = supabase.gateway.add(Fault("/rpc/fail_and_refund_session", hold_request=True))
        await fail(new_outbox(redis_client, side.platform), ref)
        assert side.status(ref) == "processing"
        await new_outbox(redis_client, side.platform).settle_due()
        assert side.user_balance(ref.owner_id) == BALANCE + 1
        supabase.gateway.exchanges.clear()
        late.release()
        assert await asyncio.to_thread(supabase.gateway.wait_for, "/rpc/fail_and_refund_session")
    assert side.user_balance(ref.owner_id) == BALANCE + 1
    assert side.status(ref) == "failed"
