"""The shapes that outages of Redis really have: each for a while under twelve running jobs, and nobody notices.

    uv run pytest tests/e2e/test_redis_outage_shapes.py -s     # with figures

Redis 7 as Debian has it, with a replica, behind a service address that outlives both. While it lasts `/health` must
name it; afterwards all complete, and each picture was paid once.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis

from support.machines import Machines
from support.openai_stub import OpenAIStub
from support.outages import (
    JOBS,
    all_completed_and_paid_once,
    all_is_well,
    completed,
    goes_on,
    push_orders,
    sit_it_out,
    wait_for_requests,
)
from support.postgrest import Supabase
from support.processes import wait_until
from support.redis import RedisServer, free_port
from support.service_address import ServiceAddress, Way, on_the_way, service_address
from support.shop import Shop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="scripts/test-services.sh installs Redis 7"),
]

USER, PASSWORD = "worker", "correct-horse"


class Pair:
    """A primary and its replica behind one address."""

    def __init__(self, primary: RedisServer, replica: RedisServer, address: ServiceAddress) -> None:
        self.servers = [primary, replica]
        self.address = address
        self.url = address.url.replace("redis://", f"redis://{USER}:{PASSWORD}@")
        self.admin: Any = sync_redis.Redis(port=primary.port)
        other: Any = sync_redis.Redis(port=replica.port)
        for client in (self.admin, other):
            client.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], keys="*", categories=["+@all"])
        other.replicaof("127.0.0.1", str(primary.port))
        wait_until(
            lambda: other.info("replication")["master_link_status"] == "up" or None, lambda: "the replica never came up"
        )
        self.other = other


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    binary = shutil.which("redis-server")
    servers = []
    for name in ("primary", "replica"):
        folder = tmp_path / name
        folder.mkdir()
        servers.append(RedisServer(folder, binary, "--enable-protected-configs", "yes"))
        servers[-1].start()
    with service_address(servers[0].port) as address:
        yield Pair(servers[0], servers[1], address)
    for server in servers:
        server.kill()


@pytest.fixture
def shop(supabase: Supabase, pair: Pair) -> Shop:
    found = Shop(supabase, pair.address.url)
    found.redis = pair.admin
    return found


def password_refused(pair: Pair) -> Iterator[None]:
    pair.admin.acl_setuser(USER, enabled=True, reset_passwords=True)
    pair.address.cut()
    yield
    pair.admin.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"])


def without(*commands: str) -> Callable[[Pair], Iterator[None]]:
    def last(pair: Pair) -> Iterator[None]:
        pair.admin.acl_setuser(USER, enabled=True, commands=[f"-{command}" for command in commands])
        pair.admin.lpush("wearon:tasks:generation", "no task")  # whoever waits already goes on with what was granted
        yield
        pair.admin.acl_setuser(USER, enabled=True, commands=[f"+{command}" for command in commands])

    return last


def read_only(pair: Pair) -> Iterator[None]:
    pair.admin.replicaof("127.0.0.1", str(free_port()))
    yield
    pair.admin.replicaof("NO", "ONE")


def demoted(pair: Pair) -> Iterator[None]:
    """A failover: the replica is the primary from now on, and has the address at last. No connection is ever closed."""
    pair.other.replicaof("NO", "ONE")
    pair.admin.replicaof("127.0.0.1", str(pair.servers[1].port))
    yield
    pair.address.target = pair.servers[1].port
    pair.admin, pair.other = pair.other, pair.admin


def disk_refused(pair: Pair) -> Iterator[None]:
    """MISCONF: its last snapshot could not be written."""
    folder = pair.admin.config_get("dir")["dir"]
    pair.admin.config_set("save", "3600 1")
    pair.admin.config_set("dir", "/proc")
    pair.admin.set("changed", "since")
    pair.admin.bgsave()
    wait_until(
        lambda: pair.admin.info("persistence")["rdb_last_bgsave_status"] == "err" or None, lambda: "it could be written"
    )
    yield
    pair.admin.config_set("dir", folder)
    pair.admin.config_set("save", "")


def full(pair: Pair) -> Iterator[None]:
    pair.admin.config_set("maxmemory", 1)
    yield
    pair.admin.config_set("maxmemory", 0)


@dataclass(frozen=True)
class Outage:
    """`words`: a piece of what `/health` says."""

    name: str
    last: Callable[[Pair], Iterator[None]]
    words: str


OUTAGES = [
    Outage("refused password", password_refused, "Redis refuses our user or password"),
    Outage("refused right", without("blmove"), "no right to BLMOVE"),
    Outage("right refused within scripts", without("zadd"), "no right to"),
    Outage("read-only", read_only, "Redis may not be written: READONLY"),
    Outage("demoted, with open connections", demoted, "Redis may not be written: READONLY"),
    Outage("full", full, "Redis may not be written: OOM"),
    Outage("disk refused", disk_refused, "Redis may not be written: MISCONF"),
    Outage("half-open connections", on_the_way(Way.HOLE), "Redis"),
    Outage("reset while it greets", on_the_way(Way.RESET_GREETINGS), "Redis cannot be reached"),
    Outage("latency of a second", on_the_way(Way.SLOW), "Redis has not answered within 1 s"),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_an_outage_of_this_shape_fails_nobody(
    shop: Shop, machines: Machines, openai: OpenAIStub, pair: Pair, outage: Outage
) -> None:
    openai.latency_s = 2.0
    process = machines.serve(WORKER_CONCURRENCY=str(JOBS), REDIS_URL=pair.url)
    url = process.wait_for("started")["url"]
    orders = push_orders(shop, JOBS)
    wait_for_requests(openai, JOBS // 2)  # some are paid already when they find out, some are not
    with contextmanager(outage.last)(pair):
        sit_it_out(url, outage.words)
        done = completed(shop)
    shop.redis = pair.admin
    orders += push_orders(shop, 4)
    goes_on(shop, done)
    all_completed_and_paid_once(shop, openai, orders)
    all_is_well(url)
