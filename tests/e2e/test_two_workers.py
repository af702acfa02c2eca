"""Two independent workers with one Redis: every task is done once, and what one leaves behind the other does."""

import itertools
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast
from uuid import uuid4

import pytest

from support.kill_points import HAND_OVER_POINTS, PLATFORM_POINTS, World
from support.machines import Machines
from support.openai_stub import Hang, OpenAIStub, Picture
from support.processes import wait_until
from support.redis import RedisServer
from support.redis_proxy import running_redis_proxy
from support.shop import Shop
from wearon.queue.lease import LEASE_S

pytestmark = pytest.mark.slow


def test_every_task_is_done_once_and_the_rate_limit_holds_for_both(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    per_minute = 120
    both = [
        machines.serve("--no-api", WORKER_CONCURRENCY="4", OPENAI_REQUESTS_PER_MINUTE=str(per_minute)) for _ in range(2)
    ]
    orders = [shop.buy(("b2c", "b2b")[number % 2]) for number in range(24)]
    for order in orders:
        shop.push(order, prompt=order.session_id)
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"
    asked = sorted(request.fields["prompt"] for request in openai.requests)
    assert asked == sorted(order.session_id for order in orders)
    assert all("session completed" in process.log for process in both), "both had work"

    # Two workers that knew nothing of each other would need half of this. A quarter is left for a first request that
    # a busy machine sent late; how exactly slots are spaced is the limiter's own test.
    starts = sorted(request.at for request in openai.requests)
    assert starts[-1] - starts[0] > 0.75 * (len(starts) - 1) * 60 / per_minute


def test_a_store_that_floods_the_queue_holds_up_no_other_stores_task(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    first, other = shop.buy("b2b"), shop.buy("b2b")
    flood = [first, *(replace(first, session_id=str(uuid4())) for _ in range(199))]
    shop.supabase.sql(
        "insert into store_generation_sessions (id, store_id, request_id) select unnest(%s::uuid[]), %s, %s",
        [[order.session_id for order in flood[1:]], first.owner_id, first.request_id],
    )
    both = [machines.serve("--no-api", WORKER_CONCURRENCY="2") for _ in range(2)]
    for order in flood:
        shop.push(order)
    for process in both:
        process.wait_for("step begins", step="start")
    wait_until(lambda: shop.redis.llen("wearon:tasks:generation") == 0 or None, lambda: "the flood is in no line")
    shop.push(other)
    shop.wait_for_end(other)
    assert shop.check_books(other)["status"] == "completed"

    lines = sorted((line for process in both for line in process.lines), key=lambda line: line["timestamp"])
    told = [line for line in lines if line["event"] == "task taken" or line.get("step") == "start"]
    pushed = [line["event"] == "task taken" and line["session_id"] == other.session_id for line in told].index(True)
    starts = [line["session_id"] for line in told[pushed:] if line["event"] == "step begins"]
    # Two turns, and what the four slots had taken before but say later. In the order of pushing it is a hundred.
    assert starts.index(other.session_id) <= 8
    assert shop.redis.zcard(f"wearon:pending:b2b:{first.owner_id}") > 100


def test_one_is_killed_with_a_full_house_and_the_other_does_its_work(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.always(Hang())
    orders = [shop.buy() for _ in range(4)]
    doomed = machines.serve("--no-api")
    for order in orders:
        shop.push(order, prompt=order.session_id)
    wait_until(lambda: len(openai.requests) == 4 or None, lambda: "not all jobs run")
    other = machines.serve("--no-api")
    openai.always(Picture())
    doomed.kill()
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"
    freed = [line for line in other.lines if line["event"] == "jobs of a dead worker freed"]
    assert len(set(itertools.chain.from_iterable(line["jobs"] for line in freed))) == 4, "it was the reaper"
    assert openai.pictures_sent == 4


STARTED_AGAIN = {
    "during the OpenAI call",
    "before the upload",
    "before completed",
    "before failed, b2c",
    "before the refund, store",
    "after the refund, b2c",
}


def test_one_that_is_started_again_waits_for_no_lease_and_no_lock_of_its_predecessor(
    shop: Shop, machines: Machines, openai: OpenAIStub, redis_server: RedisServer
) -> None:
    points = [point for point in PLATFORM_POINTS if point.name in STARTED_AGAIN]
    assert len(points) == len(STARTED_AGAIN)
    with running_redis_proxy(redis_server.port) as proxy:
        world = World(shop, openai, proxy)
        doomed = machines.serve("--no-api", WORKER_CONCURRENCY="20")
        orders = world.push_to_all(points)
        doomed.kill()
        (worker,) = cast("list[bytes]", shop.redis.zrange("wearon:workers", 0, -1))
        for lock in shop.redis.scan_iter("wearon:refunds:lock:*"):
            shop.redis.expire(lock, 300)
        with lease_that_never_expires(shop, worker):
            # The next one is killed between the end of the lease and the end of the file whose lock showed it.
            ended = proxy.hold(rb"EVALSHA\r\n.*wearon:workers\r\n.*" + re.escape(worker), at="answer").reached
            second = machines.serve("--no-api", REDIS_URL=proxy.url)
            wait_until(lambda: ended.is_set() or None, lambda: second.log)
            second.kill()
            world.behave()
            again = machines.serve("--no-api")
            died = again.wait_for("workers of this machine have died: their leases are ended")["workers"]
            assert worker.decode() in died
            assert len(died) == 2
            shop.wait_until_settled()
            world.check(points, orders)


@contextmanager
def lease_that_never_expires(shop: Shop, worker: bytes) -> Iterator[None]:
    """Renewed for as long as it is there, so that only what ends it can free its jobs."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(1.0):
            ends_ms = shop.redis.time()[0] * 1000 + 20_000
            shop.redis.zadd("wearon:workers", {worker: ends_ms}, xx=True)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()


def test_redis_is_away_for_longer_than_a_lease_and_no_call_under_way_is_paid_again(
    shop: Shop, machines: Machines, openai: OpenAIStub, redis_server: RedisServer
) -> None:
    openai.latency_s = LEASE_S + 12.0
    both = [machines.serve("--no-api", WORKER_CONCURRENCY="2") for _ in range(2)]
    orders = [shop.buy() for _ in range(4)]
    for order in orders:
        shop.push(order, prompt=order.session_id)
    wait_until(lambda: len(openai.requests) == 4 or None, lambda: "not all jobs run")
    redis_server.stop()
    time.sleep(LEASE_S + 2.0)
    redis_server.start()
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"
    assert len(openai.requests) == 4
    assert all("lease lost" not in process.log for process in both)


def test_what_a_dead_consumer_had_popped_is_handed_over_by_the_other(
    shop: Shop, machines: Machines, openai: OpenAIStub, redis_server: RedisServer
) -> None:
    with running_redis_proxy(redis_server.port) as proxy:
        world = World(shop, openai, proxy)
        doomed = machines.serve("--no-api", "--no-worker", REDIS_URL=proxy.url)
        machines.arq()
        order = world.push_to(HAND_OVER_POINTS[0])
        machines.serve("--no-api", "--no-worker")  # nothing lay in the taken-list for long when it started
        doomed.kill()
        world.behave()
        shop.wait_until_settled()
        assert shop.check_books(order)["status"] == "completed"


def test_a_worker_that_stood_still_past_its_lease_touches_nothing(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    order = shop.buy()
    openai.when(order.session_id, Picture(latency_s=2.0), Picture())
    stopped = machines.serve("--no-api")
    shop.push(order, prompt=order.session_id)
    wait_until(lambda: openai.requests or None, lambda: "nothing was asked")
    stopped.signal(signal.SIGSTOP)
    other = machines.serve("--no-api")
    # The picture of the other's run, which knows nothing of the answer that waits for the one that stands still.
    other.wait_for("session completed", session_id=order.session_id)
    uploads = shop.supabase.gateway.count(f"(POST|PUT) .*{order.session_id}.jpg")
    stopped.signal(signal.SIGCONT)
    stopped.wait_for("lease lost: others may run these jobs now, so they are stopped here")
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert stopped.stop() == 0
    assert shop.supabase.gateway.count(f"(POST|PUT) .*{order.session_id}.jpg") == uploads
    assert "session completed" not in stopped.log


def test_a_loop_that_stands_still_for_longer_than_a_lease_keeps_its_jobs(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.latency_s = 5.0
    stalling = machines.stalling_serve("--no-api")
    order = shop.buy()
    shop.push(order, prompt=order.session_id)
    wait_until(lambda: openai.requests or None, lambda: "nothing was asked")
    other = machines.serve("--no-api")
    stalling.signal(signal.SIGUSR1)
    wait_until(lambda: "the loop stands still" in stalling.log or None, lambda: "it does not stall")
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert len(openai.requests) == 1
    assert "jobs of a dead worker freed" not in other.log
    assert "lease lost" not in stalling.log
    stalling.wait_for("session completed", session_id=order.session_id)
