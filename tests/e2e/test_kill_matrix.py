"""kill -9 at every step, of `wearon serve` and of arq's command line: nothing is lost, refunded twice or paid twice.

No time is measured, but `wait_until` gives up after a minute: what comes back only by arq's own five minutes fails.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.kill_points import CANCEL_POINTS, HAND_OVER_POINTS, MOVE, PLATFORM_POINTS, REDIS_POINTS, Point, World
from support.machines import Machines
from support.openai_stub import OpenAIStub, Picture
from support.processes import WorkerProcess, wait_until, worker
from support.redis import RedisServer
from support.redis_proxy import running_redis_proxy
from support.shop import Order, Shop

pytestmark = pytest.mark.slow

SLOTS = "60"
"""More than there are points: each holds a slot until the kill."""

Start = Callable[[], WorkerProcess]


@pytest.fixture
def world(shop: Shop, openai: OpenAIStub, redis_server: RedisServer) -> Iterator[World]:
    """The stand-ins, with a Redis that can be held at a command."""
    with running_redis_proxy(redis_server.port) as proxy:
        yield World(shop, openai, proxy)


@pytest.fixture(params=["serve", "arq"])
def start(request: pytest.FixtureRequest, machines: Machines, world: World) -> Start:
    """Starts the process that is to be killed. arq has no consumer: one runs beside it, and lives."""
    env = {"REDIS_URL": world.proxy.url, "WORKER_CONCURRENCY": SLOTS}
    if request.param == "serve":
        return lambda: machines.serve("--no-api", **env)
    machines.serve("--no-api", "--no-worker")
    return lambda: machines.arq(**env)


@pytest.mark.parametrize("points", [PLATFORM_POINTS, REDIS_POINTS], ids=["platform", "redis"])
def test_killed_at_any_step_of_a_job(world: World, start: Start, points: list[Point]) -> None:
    process = start()
    orders = world.push_to_all(points)
    process.kill()
    world.behave()
    start()
    settled(world)
    world.check(points, orders)


def test_killed_at_any_step_of_the_hand_over(world: World, machines: Machines) -> None:
    orders = {}
    for point in HAND_OVER_POINTS:
        process = machines.serve("--no-api", REDIS_URL=world.proxy.url)
        orders[point.name] = world.push_to(point)
        process.kill()
        world.behave()
    machines.serve("--no-api")
    settled(world)
    world.check(HAND_OVER_POINTS, orders)


def test_killed_while_many_documents_are_moved(world: World, machines: Machines) -> None:
    """Before Redis has moved them, and after it: then nobody knows of those that are pending."""
    orders = [world.shop.buy() for _ in range(12)]
    for order in orders:
        world.shop.push(order, prompt=order.session_id)
    for side in ("request", "answer"):
        moving = world.proxy.hold(MOVE, at=side)
        process = machines.serve("--no-api", REDIS_URL=world.proxy.url)
        wait_until(lambda: moving.reached.is_set() or None, lambda: process.log)  # noqa: B023
        process.kill()
        world.behave()
    assert world.shop.redis.llen("wearon:taken") > 1
    machines.serve("--no-api")
    settled(world)
    assert [world.shop.check_books(order)["status"] for order in orders] == ["completed"] * len(orders)
    # The first is moved alone; its call may be under way when the process is killed.
    assert sum(world.paid(order) for order in orders) <= len(orders) + 2


@pytest.mark.parametrize("channel", ["b2c", "b2b"])
def test_killed_between_cancel_and_refund(
    world: World, machines: Machines, production_env: dict[str, str], tmp_path: Path, channel: str
) -> None:
    points = [point for point in CANCEL_POINTS if point.channel == channel]
    orders = {}
    for point in points:
        orders[point.name] = killed_cancel(world, point, production_env | {"REDIS_URL": world.proxy.url}, tmp_path)
    world.behave()
    for lock in world.shop.redis.scan_iter("wearon:refunds:lock:*"):
        world.shop.redis.delete(lock)  # what 20 s do
    machines.serve("--no-api")
    settled(world)
    for point in points:
        row = world.shop.check_books(orders[point.name])
        assert (row["status"], row["error_message"]) == ("failed", "Cancelled"), point.name
    assert not world.openai.requests, "nothing was paid for what was cancelled"


def killed_cancel(world: World, point: Point, env: dict[str, str], folder: Path) -> Order:
    """An order that waits, and whose `wearon cancel` was killed at that point."""
    order = world.shop.buy(point.channel)
    world.shop.push(order, prompt=order.session_id)
    reached = point.arrange(world, order)
    with worker((sys.executable, "-m", "wearon", "cancel", order.session_id), env, folder) as cancel:
        wait_until(lambda: reached() or None, lambda: cancel.log)
        cancel.kill()
    return order


def settled(world: World) -> None:
    """Until nothing is on its way; then nothing may be left of any job, either."""
    world.shop.wait_until_settled()
    wait_until(
        lambda: None if world.shop.redis.hlen("wearon:running") else True,
        lambda: f"jobs without end: {world.shop.redis.hgetall('wearon:running')}",
    )
    left = list(world.shop.redis.scan_iter("arq:*"))
    assert left == []


def killed_with_an_answer(world: World, machines: Machines) -> Order:
    """An order whose answer has come, and of which nobody has made the picture."""
    process = machines.serve("--no-api")
    order = world.shop.buy()
    world.openai.when(order.session_id, Picture(latency_s=1.0))
    world.shop.push(order, prompt=order.session_id)
    wait_until(lambda: world.openai.requests or None, lambda: "nothing was asked")
    frozen = process.pool_processes()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)  # nobody can make a picture of the answer now
    process.wait_for("openai answered", session_id=order.session_id)
    process.kill()
    for pid in frozen:
        os.kill(pid, signal.SIGKILL)
    return order


def test_killed_between_the_answer_and_the_picture(world: World, machines: Machines) -> None:
    order = killed_with_an_answer(world, machines)
    machines.serve("--no-api")
    settled(world)
    assert world.shop.check_books(order)["status"] == "completed"
    assert world.paid(order) == 1


def test_killed_with_a_paid_answer_and_redis_has_lost_everything(
    world: World, machines: Machines, tmp_path: Path
) -> None:
    order = killed_with_an_answer(world, machines)
    world.shop.redis.flushall()
    world.shop.age(order, minutes=11)  # old enough to be taken for an orphan
    (answer,) = tmp_path.rglob("*.answer")
    os.utime(answer, (0, 0))
    machines.serve("--no-api")
    world.shop.wait_for_end(order)
    settled(world)
    assert world.shop.check_books(order)["status"] == "completed"
    assert world.paid(order) == 1
