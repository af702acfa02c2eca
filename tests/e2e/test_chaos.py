"""Everything goes wrong at random, and the books are right in the end.

A short run by default; a long one by command (the seed is printed, and repeats the choices, though not the timing):

    CHAOS_TASKS=300 CHAOS_SEED=7 uv run pytest tests/e2e/test_chaos.py -s
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from support.gateway import Do, Fault
from support.machines import Machines
from support.openai_stub import MODERATION, OpenAIStub, Picture, Reset, rate_limit, server_error
from support.openai_stub import Fault as Stumble
from support.processes import WorkerProcess, run_wearon, wait_until, worker
from support.redis import RedisServer
from support.shop import Order, Shop

pytestmark = pytest.mark.slow

TASKS = int(os.environ.get("CHAOS_TASKS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
TASKS_A_ROUND = 5
PAUSE_S = 1.0
"""Between two rounds: some jobs get done, some are in the middle of something."""

KINDS = [("b2c", False), ("b2b", False), ("b2b", True)]
STUMBLES: list[Stumble] = [Reset(), server_error(), rate_limit("1")]
PLATFORM_FAULTS = [
    {"pattern": " /rest/v1/", "do": Do.ANSWER},
    {"pattern": " /rest/v1/", "do": Do.LOSE_REQUEST},
    {"pattern": " /rest/v1/", "do": Do.LOSE_ANSWER},
    {"pattern": " /storage/v1/", "do": Do.ANSWER},
    {"pattern": " /storage/v1/", "do": Do.LOSE_ANSWER},
    {"pattern": "PATCH ", "do": Do.LOSE_ANSWER},
    {"pattern": "/rpc/", "do": Do.LOSE_ANSWER},
]


Cancel = Callable[..., AbstractContextManager[WorkerProcess]]


def cancelling(env: dict[str, str], folder: Path, *arguments: str) -> AbstractContextManager[WorkerProcess]:
    """`wearon cancel` of a session, which is killed at the end of the block."""
    return worker((sys.executable, "-m", "wearon", "cancel", *arguments), env, folder)


class Chaos:
    """Two workers on one spool, an operator who cancels, and what happens to them."""

    def __init__(
        self, shop: Shop, machines: Machines, openai: OpenAIStub, redis: RedisServer, cancel: Cancel, dice: Random
    ) -> None:
        self.shop, self.machines, self.openai, self.redis, self.dice = shop, machines, openai, redis, dice
        self.cancel = cancel
        self.orders: list[Order] = []
        self.workers = [self.start(), self.start()]

    def start(self) -> WorkerProcess:
        return self.machines.serve("--no-api", WORKER_CONCURRENCY="4")

    def push(self) -> None:
        """Some orders, each with a fate of its own at OpenAI's."""
        for _ in range(TASKS_A_ROUND):
            channel, resell = self.dice.choice(KINDS)
            order = self.shop.buy(channel, credits=self.dice.randint(1, 3), resell=resell)
            last = MODERATION if self.dice.random() < 0.25 else Picture(latency_s=self.dice.uniform(0, 2))
            stumbles = self.dice.choices(STUMBLES, k=self.dice.choice([0, 0, 1, 2]))
            self.openai.when(order.session_id, *stumbles, last)
            for _ in range(self.dice.choice([1, 1, 1, 2])):
                self.shop.push(order, prompt=order.session_id)
            self.orders.append(order)

    def strike(self) -> str:
        """One misfortune; its name."""
        kills, cancels = [self.kill_worker] * 2, [self.kill_cancel] * 2
        blow = self.dice.choice([*kills, *cancels, self.break_platform, self.restart_redis])
        blow()
        return blow.__name__

    def kill_worker(self) -> None:
        number = self.dice.randrange(len(self.workers))
        self.workers[number].kill()
        self.workers[number] = self.start()

    def kill_cancel(self) -> None:
        """`wearon cancel` of a session that waits, runs or has ended, killed before it, in the middle, or after it."""
        order = self.dice.choice(self.orders)
        with self.cancel(order.session_id, *self.dice.choice([(), ("--now",)])):
            time.sleep(self.dice.uniform(0.5, 2.5))

    def break_platform(self) -> None:
        fault = self.dice.choice(PLATFORM_FAULTS)
        times, chance = self.dice.randint(3, 12), self.dice.uniform(0.2, 0.8)
        self.shop.supabase.gateway.add(Fault(**fault, times=times, chance=chance))  # type: ignore[arg-type]

    def restart_redis(self) -> None:
        self.redis.stop() if self.dice.random() < 0.5 else self.redis.kill()
        time.sleep(self.dice.uniform(0, 2))
        self.redis.start()


def audit(shop: Shop, env: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """`wearon audit`, of sessions that seem to have ended some minutes ago: it leaves out the latest."""
    for table in ("generation_sessions", "store_generation_sessions"):
        earlier = "created_at = created_at - interval '10 min', completed_at = completed_at - interval '10 min'"
        shop.supabase.sql(f"update {table} set {earlier}")
    return run_wearon("audit", "--since", "2h", env=env, cwd=folder)


def test_chaos(
    shop: Shop,
    machines: Machines,
    openai: OpenAIStub,
    redis_server: RedisServer,
    production_env: dict[str, str],
    tmp_path: Path,
) -> None:
    print(f"chaos: {TASKS} tasks, seed {SEED}")
    cancel = partial(cancelling, production_env, tmp_path)
    chaos = Chaos(shop, machines, openai, redis_server, cancel, Random(SEED))
    kills = 0
    while len(chaos.orders) < TASKS:
        chaos.push()
        time.sleep(PAUSE_S)
        blow = chaos.strike()
        kills += blow == "kill_worker"
        print(f"chaos: {len(chaos.orders)} tasks pushed, {blow}")
    shop.supabase.gateway.behave()
    wait_until(  # as long as there is progress
        lambda: sum(shop.row(order)["status"] in {"completed", "failed"} for order in chaos.orders) > TASKS / 2 or None,
        lambda: f"seed {SEED}: little is done",
    )
    shop.wait_until_settled()

    statuses = Counter(shop.check_books(order)["status"] for order in chaos.orders)
    paid = Counter(request.fields["prompt"] for request in openai.paid)
    # Only a call that was in flight at a kill may be paid again: at most one for each slot of the killed worker.
    again = sum(count - 1 for count in paid.values())
    print(f"chaos: {dict(statuses)}, {kills} kills, {again} pictures paid again for calls in flight at a kill")
    assert again <= kills * 4
    assert sum(statuses.values()) == len(chaos.orders)
    for order in chaos.orders:
        assert paid[order.session_id] <= 1 + kills
    assert shop.dead_letters() == []
    audited = audit(shop, production_env, tmp_path)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert f"{TASKS} sessions audited." in audited.stdout
