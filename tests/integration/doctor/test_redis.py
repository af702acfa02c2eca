"""The doctor before a real Redis that is set up wrongly."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from support.redis import RedisServer, free_port
from wearon.doctor import Finding, Level, Promise
from wearon.doctor.redis import check_redis
from wearon.queue import keys
from wearon.queue.redis_rights import COMMANDS, KEY_PATTERNS, acl_rule, name
from wearon.redis.clients import connect

pytestmark = pytest.mark.usefixtures("synced_redis")


@pytest.fixture
async def admin(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client that may everything: it makes the settings and users that the doctor is to find."""
    client = connect(redis_server.admin_url, name="admin")
    yield client
    await client.aclose()


async def look(url: str) -> dict[str, Finding]:
    return {finding.check: finding async for finding in check_redis(url)}


async def test_local_modes_redis_is_all_ok(admin: Redis, redis_url: str) -> None:
    found = await look(redis_url)
    # A busy machine may be slow, which is a warning.
    assert {finding.level for check, finding in found.items() if check != "redis latency"} == {Level.OK}
    assert set(found) == {
        "redis", "redis latency", "redis clock", "redis version", "redis role", "redis persistence", "redis eviction",
        "redis longest value", "redis rights",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value", "check", "breaks"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis eviction", Promise.EVERY_TASK_ENDS),
        ("appendonly", "no", "redis persistence", Promise.REFUNDED_ONCE),
    ],
)
async def test_a_wrong_setting_is_a_fault(
    admin: Redis, redis_url: str, setting: str, value: str, check: str, breaks: Promise
) -> None:
    before = (await admin.config_get(setting))[setting] or ""
    await admin.config_set(setting, value)
    try:
        found = await look(redis_url)
    finally:
        await admin.config_set(setting, before)
    assert (found[check].level, found[check].breaks) == (Level.FAULT, breaks)


async def test_the_commands_that_it_recommends_make_a_redis_refuse_giants(admin: Redis, redis_url: str) -> None:
    usual = {"proto-max-bulk-len": 512 * 2**20, "client-query-buffer-limit": 2**30}
    ours = {name: (await admin.config_get(name))[name] for name in usual}
    try:
        for name, value in usual.items():
            await admin.config_set(name, value)
        told = (await look(redis_url))["redis longest value"]
        assert (told.level, told.message[:7]) == (Level.WARNING, "512 MB:")
        for setting, bytes_ in re.findall(r"redis-cli CONFIG SET (\S+) (\d+);", told.hint):
            await admin.config_set(setting, bytes_)
        assert {name: (await admin.config_get(name))[name] for name in usual} == ours
        assert (await look(redis_url))["redis longest value"].message == "64 MB"
    finally:
        for name, before in ours.items():
            await admin.config_set(name, before or "")


async def test_only_reading_commands_are_sent(admin: Redis, redis_url: str) -> None:
    await admin.config_resetstat()
    await look(redis_url)
    stats = await admin.info("commandstats")
    # Newer servers name subcommands, too.
    seen = {name.removeprefix("cmdstat_").partition("|")[0] for name in stats}
    assert seen - {"auth", "config", "client", "hello"} == {
        "ping",
        "time",
        "info",
        "hgetall",
        "multi",
        "exec",
        "discard",
    }
    assert await admin.dbsize() == 0


@asynccontextmanager
async def user_with(admin: Redis, redis_server: RedisServer, rule: str) -> AsyncIterator[str]:
    """The URL of a user who may just that."""
    set_user = ["ACL", "SETUSER", "worker", "reset", "on", ">secret", *rule.split()]
    await admin.execute_command(*set_user)  # type: ignore[no-untyped-call]
    try:
        yield f"redis://worker:secret@127.0.0.1:{redis_server.port}/0"
    finally:
        await admin.acl_deluser("worker")


async def test_a_user_who_may_just_what_we_need_is_enough(admin: Redis, redis_server: RedisServer) -> None:
    async with user_with(admin, redis_server, acl_rule()) as url:
        found = await look(url)
    assert {finding.level for check, finding in found.items() if check != "redis latency"} == {Level.OK}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_a_missing_right_is_a_fault_that_names_it(
    admin: Redis, redis_server: RedisServer, command: Sequence[str]
) -> None:
    rule = " ".join(part for part in acl_rule().split() if part != f"+{name(command).lower()}")
    async with user_with(admin, redis_server, rule) as url:
        found = await look(url)
    told = found.get("redis rights", found["redis"])  # nothing else is looked at without PING
    assert told.level is Level.FAULT
    assert f"no right to {name(command).replace('|', ' ')}" in told.message


@pytest.mark.parametrize("pattern", KEY_PATTERNS)
async def test_missing_keys_are_a_fault(admin: Redis, redis_server: RedisServer, pattern: str) -> None:
    async with user_with(admin, redis_server, acl_rule().replace(f"~{pattern} ", "")) as url:
        found = await look(url)
    assert (
        "SET on keys of ours" in found["redis rights"].message or "GET on keys of ours" in found["redis rights"].message
    )


async def test_without_transactions_nothing_is_tried(admin: Redis, redis_server: RedisServer) -> None:
    """Outside of one, every command would be done."""
    await admin.set(keys.TASKS, "a task")
    async with user_with(admin, redis_server, acl_rule().replace(" +multi", "")) as url:
        found = await look(url)
    assert found["redis rights"].message == "no right to MULTI"
    assert await admin.keys("*") == [keys.TASKS.encode()]
    await admin.delete(keys.TASKS)


async def test_a_user_without_rights_gets_less_said_and_no_fault(admin: Redis, redis_server: RedisServer) -> None:
    await admin.acl_setuser(
        "worker", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all", "-@dangerous", "+@connection"]
    )
    try:
        found = await look(f"redis://worker:secret@127.0.0.1:{redis_server.port}/0")
    finally:
        await admin.acl_deluser("worker")
    unknown = {check for check, finding in found.items() if finding.level is Level.WARNING}
    assert unknown == {"redis role", "redis version", "redis persistence", "redis eviction", "redis longest value"}
    assert "secret" not in repr(found)


async def test_a_wrong_password_is_told(redis_server: RedisServer) -> None:
    found = await look(f"redis://nobody:wrong-password@127.0.0.1:{redis_server.port}/0")
    assert found["redis"].level is Level.FAULT
    assert "refuses the user or the password" in found["redis"].message
    assert "wrong-password" not in repr(found)


async def test_nobody_there_is_one_fault() -> None:
    found = await look(f"redis://:a-password@127.0.0.1:{free_port()}/0")
    assert [finding.level for finding in found.values()] == [Level.FAULT]
    assert "a-password" not in repr(found)


async def test_a_url_that_cannot_be_read_is_told_without_its_password() -> None:
    found = await look("redis://:pass#word@127.0.0.1:6379/0")
    assert found["redis"].level is Level.FAULT
    assert "cannot be read" in found["redis"].message
    assert "word" not in repr(found).replace("password", "")
