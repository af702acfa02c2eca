"""SIGTERM with a full house: exit status 0, nothing lost, nothing paid twice, and no shopper who sees an error."""

import signal
import time
from collections.abc import Callable

import pytest

from support.machines import Machines
from support.openai_stub import Hang, OpenAIStub, Picture
from support.processes import WorkerProcess, wait_until
from support.shop import Order, Shop
from wearon.signals import SAME_WISH_S

pytestmark = pytest.mark.slow

Start = Callable[..., WorkerProcess]


@pytest.fixture(params=["serve", "arq"])
def start(request: pytest.FixtureRequest, machines: Machines) -> Start:
    """Starts the worker that is to be stopped; the consumer of arq's lives on in a process of its own."""
    if request.param == "serve":
        return lambda **env: machines.serve("--no-api", **env)
    machines.serve("--no-api", "--no-worker")
    return machines.arq


def full_house(shop: Shop, openai: OpenAIStub, running: int, waiting: int) -> list[Order]:
    """Push so many orders, and wait until the first of them are being made."""
    orders = [shop.buy(("b2c", "b2b")[number % 2]) for number in range(running + waiting)]
    for order in orders:
        shop.push(order, prompt=order.session_id)
    wait_until(lambda: len(openai.requests) >= running or None, lambda: f"{len(openai.requests)} jobs run")
    return orders


def all_completed(shop: Shop, orders: list[Order]) -> None:
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"


def test_running_jobs_finish_within_the_grace_period_and_the_rest_is_the_next_ones(
    shop: Shop, openai: OpenAIStub, start: Start
) -> None:
    openai.latency_s = 2.0
    process = start(WORKER_CONCURRENCY="4")
    orders = full_house(shop, openai, running=4, waiting=4)
    assert process.stop() == 0
    done = [order for order in orders if shop.row(order)["status"] == "completed"]
    assert len(done) == 4, "the running ones, and no more were taken"
    assert {shop.row(order)["status"] for order in orders} == {"completed", "queued"}
    start()
    all_completed(shop, orders)
    assert openai.pictures_sent == len(openai.requests) == 8


def test_a_signal_that_is_delivered_twice_is_one_wish(shop: Shop, openai: OpenAIStub, start: Start) -> None:
    openai.latency_s = 2.0
    process = start(WORKER_CONCURRENCY="2")
    orders = full_house(shop, openai, running=2, waiting=0)
    process.signal(signal.SIGTERM)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    all_completed(shop, orders)
    assert openai.pictures_sent == len(openai.requests) == 2


def test_handed_back_jobs_are_taken_by_a_worker_that_is_there_already(
    shop: Shop, openai: OpenAIStub, start: Start
) -> None:
    openai.always(Hang())
    process = start(WORKER_CONCURRENCY="3", SHUTDOWN_GRACE_S="1")
    orders = full_house(shop, openai, running=3, waiting=0)
    start()
    openai.always(Picture())
    assert process.stop() == 0
    assert not any(shop.row(order)["error_message"] for order in orders)
    all_completed(shop, orders)


def test_a_second_signal_ends_it_at_once_and_loses_nothing(shop: Shop, openai: OpenAIStub, start: Start) -> None:
    openai.always(Hang())
    process = start(WORKER_CONCURRENCY="4", SHUTDOWN_GRACE_S="600")
    orders = full_house(shop, openai, running=4, waiting=2)
    process.signal(signal.SIGTERM)
    process.wait_for("stopping")
    process.signal(signal.SIGTERM)  # at once: an echo of the first
    time.sleep(1.2 * SAME_WISH_S)
    process.signal(signal.SIGTERM)
    process.wait()
    openai.always(Picture())
    start()
    all_completed(shop, orders)
