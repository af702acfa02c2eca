"""This machine has no memory, no descriptor or no mercy with our processes: nobody fails, and nothing is paid twice.

In each test it lasts for some seconds while jobs run; then there is enough of everything again.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from support.machines import Machines
from support.openai_stub import OpenAIStub
from support.outages import all_completed_and_paid_once, push_orders, wait_for_requests
from support.processes import WorkerProcess, wait_until
from support.shop import Shop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux only"),
]

LACK_S = 8.0
"""Longer than two pauses of a job that was put back."""


@contextmanager
def again_and_again(do: Callable[[], None]) -> Iterator[None]:
    """Do it several times a second, within the block."""
    enough = threading.Event()

    def repeat() -> None:
        while not enough.wait(0.25):
            do()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def for_each_picture_process(process: WorkerProcess, do: Callable[[int], object]) -> Callable[[], None]:
    def run() -> None:
        for pid in process.pool_processes():
            try:
                do(pid)
            except ProcessLookupError:
                continue

    return run


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def take_its_memory(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (1, hard))


@pytest.mark.parametrize("harm", [kill, take_its_memory])
def test_picture_processes_that_are_killed_or_have_no_memory(
    shop: Shop, machines: Machines, openai: OpenAIStub, harm: Callable[[int], None]
) -> None:
    openai.latency_s = 1.0
    process = machines.serve("--no-api", WORKER_CONCURRENCY="8", PICTURE_PROCESSES="2")
    with again_and_again(for_each_picture_process(process, harm)):
        orders = push_orders(shop, 16)
        time.sleep(LACK_S)
    all_completed_and_paid_once(shop, openai, orders)


def test_no_descriptor_is_left(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    openai.latency_s = 2.0
    process = machines.serve(WORKER_CONCURRENCY="4")
    url = process.wait_for("started")["url"]
    orders = push_orders(shop, 8)
    wait_for_requests(openai, 4)
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
    for_each_picture_process(process, kill)()
    time.sleep(LACK_S)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    all_completed_and_paid_once(shop, openai, orders)
    wait_until(lambda: httpx.get(f"{url}/health/live").status_code == 200 or None, lambda: process.log)
