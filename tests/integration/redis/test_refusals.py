"""Connections against real servers in the shapes that outages have: an answer about the server ends them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
import uvloop
from redis.asyncio import Redis

from support.job_side import eventually
from support.redis import RedisServer
from support.service_address import ServiceAddress, Way, service_address
from wearon.redis import clients as policy
from wearon.redis.clients import connect
from wearon.redis.errors import BadKey, RedisRefuses, RedisUnreachable
from wearon.redis.health import RedisHealth

pytestmark = pytest.mark.slow

WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"


@pytest.fixture
def address(redis_server: RedisServer) -> Iterator[ServiceAddress]:
    with service_address(redis_server.port) as found:
        yield found


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


OpenClient = Callable[..., Redis]


@pytest.fixture
async def open_client() -> AsyncIterator[OpenClient]:
    """Makes clients that are closed at the end."""
    clients: list[Redis] = []

    def make(url: str, **options: Any) -> Redis:
        clients.append(connect(url, **{"name": "test"} | options))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose(close_connection_pool=True)


def words(health: RedisHealth) -> list[str]:
    return [refusal.words for refusal in health.dependencies.refusals]


@pytest.fixture
def admin(redis_server: RedisServer) -> Iterator[Any]:
    with sync_redis.Redis(port=redis_server.port) as client:
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)
        client.acl_setuser("default", enabled=True, reset=True, nopass=True, keys="*", categories=["+@all"])


@pytest.mark.parametrize("how", ["command", "transaction", "pipeline", "script"])
async def test_a_demoted_server_is_left_though_its_connections_stay_open(
    redis_server: RedisServer,
    other_server: RedisServer,
    address: ServiceAddress,
    admin: Any,
    how: str,
    open_client: OpenClient,
) -> None:
    health = RedisHealth()
    client = open_client(address.url, health=health)
    script = client.register_script(WRITE)

    async def write() -> None:
        if how == "command":
            await client.set("task", "one")
        elif how == "script":
            await script(keys=["task"], args=["one"])
        else:
            async with client.pipeline(transaction=how == "transaction") as pipe:
                pipe.get("task")
                pipe.set("task", "one")
                await pipe.execute()

    await write()
    await asyncio.gather(*(client.get("task") for _ in range(5)))  # several connections, all of them to the old one
    admin.replicaof("127.0.0.1", str(other_server.port))
    address.target = other_server.port
    with pytest.raises(RedisRefuses, match="READONLY"):
        await write()
    assert words(health) == ["Redis may not be written: READONLY"]
    await write()
    health.wrote(0.0)
    assert words(health) == []
    await asyncio.gather(*(client.set(f"task {number}", "one") for number in range(10)))
    with sync_redis.Redis(port=other_server.port) as there:
        assert there.dbsize() == 11


async def test_whoever_waits_on_a_demoted_server_is_called_off(
    redis_server: RedisServer,
    other_server: RedisServer,
    address: ServiceAddress,
    admin: Any,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy, "ANSWER_TIMEOUT_S", 0.3)
    health = RedisHealth()
    client = open_client(address.url, health=health)
    waiting = open_client(address.url, blocking=True, health=health)
    pop = asyncio.ensure_future(waiting.blmove("tasks", "taken", 0))
    await eventually(lambda: _somebody_waits(admin))
    address.be(Way.HOLE)  # nothing of what the old server says arrives
    with pytest.raises(RedisUnreachable, match="no answer in time"):
        await client.set("task", "one")
    with pytest.raises(RedisUnreachable):
        await pop
    address.be(Way.OPEN)


async def _somebody_waits(admin: Any) -> bool:
    return bool(admin.info("clients")["blocked_clients"])


async def test_what_was_refused_is_named_until_it_is_granted(
    redis_server: RedisServer, admin: Any, open_client: OpenClient
) -> None:
    health = RedisHealth()
    client = open_client(f"redis://127.0.0.1:{redis_server.port}/0", health=health)  # as the user who loses the right
    script = client.register_script(WRITE)
    await script(keys=["task"], args=["one"])
    admin.acl_setuser("default", enabled=True, nopass=True, commands=["-set", "-lmove"])
    with pytest.raises(RedisRefuses, match="no right to LMOVE"):
        await client.lmove("tasks", "taken")
    with pytest.raises(RedisRefuses, match="no right to"):
        await script(keys=["task"], args=["one"])
    await client.get("task")
    assert len(words(health)) == 2
    admin.acl_setuser("default", enabled=True, nopass=True, commands=["+set", "+lmove"])
    await client.lmove("tasks", "taken")
    await script(keys=["task"], args=["one"])
    assert words(health) == []


async def test_a_full_server_may_not_be_written(redis_server: RedisServer, admin: Any, open_client: OpenClient) -> None:
    health = RedisHealth()
    client = open_client(redis_server.url, health=health)
    await client.set("task", "one")
    admin.config_set("maxmemory", 1)
    with pytest.raises(RedisRefuses, match="Redis may not be written: OOM"):
        await client.register_script(WRITE)(keys=["task"], args=["one"])
    assert await client.get("task") == b"one"
    assert words(health) == ["Redis may not be written: OOM"], "a read says nothing about it"


async def test_a_refused_password_is_named_and_a_right_one_forgets_it(
    redis_server: RedisServer, admin: Any, open_client: OpenClient
) -> None:
    health = RedisHealth()
    admin.acl_setuser("worker", enabled=True, passwords=["+right"], keys="*", categories=["+@all"])
    url = f"redis://worker:{{}}@127.0.0.1:{redis_server.port}/0"
    wrong, right = (open_client(url.format(word), health=health) for word in ("wrong", "right"))
    with pytest.raises(RedisRefuses):
        await wrong.get("task")
    assert words(health) == ["Redis refuses our user or password: WRONGPASS"]
    await right.get("task")
    assert words(health) == []


def test_a_reset_during_the_greeting_is_out_of_reach_on_uvloop_too(
    address: ServiceAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "CONNECT_BACKOFF_S", (0.001, 0.001))

    async def look() -> None:
        client = connect(address.url, name="test")
        try:
            await client.ping()
            address.be(Way.RESET_GREETINGS)
            for _ in range(30):
                with pytest.raises(RedisUnreachable):
                    await client.ping()
            address.be(Way.OPEN)
            assert await client.ping()
        finally:
            await client.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(look())


async def test_after_one_time_out_no_connection_of_that_time_is_used_again(
    address: ServiceAddress, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, admin: Any
) -> None:
    monkeypatch.setattr(policy, "ANSWER_TIMEOUT_S", 0.3)
    client = open_client(address.url)
    await asyncio.gather(*(client.ping() for _ in range(10)))
    before = {entry["id"] for entry in admin.client_list() if entry["name"] == "test"}
    assert len(before) > 1
    address.be(Way.HOLE)
    with pytest.raises(RedisUnreachable, match="no answer in time"):
        await client.ping()
    address.be(Way.OPEN)
    await asyncio.gather(*(client.set(f"task {number}", "one") for number in range(10)))
    used = {entry["id"] for entry in admin.client_list() if entry["name"] == "test" and entry["cmd"] == "set"}
    assert used
    assert not used & before


async def test_in_a_pipeline_the_key_that_holds_something_else_is_named(
    redis_server: RedisServer, open_client: OpenClient
) -> None:
    health = RedisHealth()
    client = open_client(redis_server.url, health=health)
    await client.set("wearon:jobs", "text")
    async with client.pipeline(transaction=False) as pipe:
        pipe.llen("wearon:taken")
        pipe.zcard("wearon:jobs")
        pipe.hlen("wearon:refunds")
        with pytest.raises(BadKey, match="wearon:jobs"):
            await pipe.execute()
    assert words(health) == ["wearon:jobs has the wrong type"]
    async with client.pipeline(transaction=True) as pipe:
        pipe.llen("wearon:taken")
        pipe.zcard("wearon:jobs")
        with pytest.raises(BadKey):
            await pipe.execute()


async def test_a_key_that_holds_something_else_is_one_named_error(
    redis_server: RedisServer, open_client: OpenClient
) -> None:
    health = RedisHealth()
    client = open_client(redis_server.url, health=health)
    await client.set("wearon:jobs", "text")
    with pytest.raises(BadKey, match="wearon:jobs"):
        await client.zadd("wearon:jobs", {"job": 1})
    assert words(health) == ["wearon:jobs has the wrong type"]
    await client.delete("wearon:jobs")
    await client.zadd("wearon:jobs", {"job": 1})
    assert words(health) == []
