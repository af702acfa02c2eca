"""Checks of Redis: its version, what it keeps, its distance, and what our user may do.

It only reads (PING, INFO, CONFIG GET, and pauses); all other commands that we send are tried in a transaction that is
discarded.

Hosted servers tell less: Upstash has no CONFIG, and its INFO has no word about persistence or eviction.
"""

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from wearon.doctor.clock import ClockReading, judge_clock
from wearon.doctor.findings import Finding, Level, Promise, fault, ok, warning
from wearon.queue import redis_rights
from wearon.queue.pauses import FLEET, Pause, Pauses
from wearon.redis import longest_value
from wearon.redis.clients import connect, connection_pool, without_password
from wearon.redis.errors import RedisRefuses
from wearon.redis.url import BadRedisUrl

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

LEAST_VERSION = (6, 2)
"""BLMOVE came with it, which moves a task from list to list: it is always in one of them."""

_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")

SLOW_MS = 100.0
"""To a far region. A job waits for some seven commands, one after another."""

PINGS = 5
"""A median that one slow answer does not move; each is a billed command."""

MAX_PAUSES = 5
"""Pauses that are listed at most, the fleet's first."""

NEARLY_FULL = 0.8
"""Of `maxmemory`. With noeviction, a full Redis takes no task and no refund intent."""

Info = Mapping[str, Any]
"""INFO's fields by name."""


async def check_redis(url: str) -> AsyncGenerator[Finding, None]:
    """Check everything about the Redis at `url`."""
    try:
        client = connect(url, name="wearon-doctor")
    except BadRedisUrl as error:
        yield fault("redis", f"REDIS_URL cannot be read: it {error}", "see REDIS_URL", Promise.EVERY_TASK_ENDS)
        return
    where = without_password(url)
    reached = False
    try:
        async with aclosing(_look(client, where)) as findings:
            async for finding in findings:
                reached = reached or finding.level is Level.OK
                yield finding
        if reached:
            yield await _check_rights(url)
    finally:
        await client.aclose()


async def _look(client: "Redis", where: str) -> AsyncGenerator[Finding, None]:
    try:
        pings_ms = await _ping(client)
    except RedisRefuses as error:
        if error.code in {"NOAUTH", "WRONGPASS"}:
            yield fault("redis", f"{where} refuses the user or the password", "see REDIS_URL", Promise.EVERY_TASK_ENDS)
        else:
            yield fault("redis", f"{where}: {error}", "see Redis, and its user's rights", Promise.EVERY_TASK_ENDS)
        return
    except (RedisError, OSError) as error:
        yield fault(
            "redis",
            f"{where} cannot be reached: {str(error) or type(error).__name__}",
            "see REDIS_URL and the network between; nothing else of Redis was checked",
            Promise.EVERY_TASK_ENDS,
        )
        return
    yield ok("redis", f"{where} answers")
    yield judge_latency(pings_ms)
    yield judge_clock("redis clock", "Redis", await _clock(client))
    for pause in await _pauses(client):
        yield judge_pause(pause)
    info = await _info(client)
    yield judge_version(info)
    yield judge_role(info)
    yield judge_persistence(info, await _config(client, "save"), await _config(client, "appendfsync"))
    yield judge_eviction(info, await _config(client, "maxmemory-policy"))
    yield judge_longest_value(await _config(client, "proto-max-bulk-len"))
    if info.get("maxmemory"):
        yield judge_memory(info)


def judge_latency(pings_ms: list[float]) -> Finding:
    """The finding about its distance."""
    typical = median(pings_ms)
    told = f"answers in {typical:.1f} ms (the slowest of {len(pings_ms)}: {max(pings_ms):.1f} ms)"
    if typical <= SLOW_MS:
        return ok("redis latency", told)
    return warning("redis latency", told, "run the worker in the region of its Redis: each job asks it seven times")


def judge_pause(pause: Pause) -> Finding:
    """The finding about a pause: shoppers wait, and the pause may have been forgotten."""
    store = "" if pause.tenant == FLEET else f" --store {pause.tenant.removeprefix('b2b:')}"
    whose = "the fleet" if pause.tenant == FLEET else pause.tenant
    since = f"since {pause.since:%Y-%m-%d %H:%M} UTC"
    told = f"{whose} is paused {since} by {pause.by or 'an operator'}: {pause.reason or 'no reason was given'}"
    return warning("pause", told, f"no job of it is started until `wearon resume{store}`")


def judge_version(info: Info) -> Finding:
    """The finding about its version: whether it knows the commands that we use."""
    told = str(info.get("redis_version", ""))
    found = _VERSION.match(told)
    least = ".".join(map(str, LEAST_VERSION))
    if found is None:
        return warning("redis version", "cannot be told", f"it must be {least} or newer, which has BLMOVE")
    if (int(found[1]), int(found[2])) >= LEAST_VERSION:
        return ok("redis version", told)
    return fault(
        "redis version",
        f"{told} has no BLMOVE: no task can be taken",
        f"use Redis {least} or newer",
        Promise.EVERY_TASK_ENDS,
    )


def judge_role(info: Info) -> Finding:
    """The finding about its role: whether it takes writes, and scripts over several keys."""
    if info.get("role") in {"slave", "replica"}:
        return fault(
            "redis role", "is a replica, which refuses writes", "put the primary in REDIS_URL", Promise.EVERY_TASK_ENDS
        )
    if info.get("cluster_enabled") or info.get("redis_mode") == "cluster":
        return fault(
            "redis role",
            "is a cluster: a task's keys lie on different nodes, and its scripts are refused",
            "use one primary (with replicas as you like)",
            Promise.EVERY_TASK_ENDS,
        )
    if not info:
        return warning("redis role", "cannot be told: INFO is refused", "it must be one primary, not a cluster")
    return ok("redis role", "one primary")


def judge_persistence(info: Info, save: str | None, appendfsync: str | None) -> Finding:
    """The finding about what a restart of Redis leaves. `save` and `appendfsync` come from CONFIG, None if refused."""
    name, advice = "redis persistence", "set appendonly yes (appendfsync everysec)"
    if "aof_enabled" not in info:
        return warning(
            name,
            "cannot be told: this Redis does not say",
            "see its provider's console: what it forgets are tasks and refunds",
        )
    broken = [key for key in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(key, "ok") != "ok"]
    if info["aof_enabled"] and "aof_last_write_status" not in broken:
        if appendfsync == "no":
            return warning(name, "append-only file, written when the system likes to", advice)
        return ok(name, f"append-only file{f' (fsync {appendfsync})' if appendfsync else ''}")
    if broken:
        return fault(
            name,
            f"cannot write to its disk ({', '.join(broken)})",
            "see Redis' log and its disk",
            Promise.REFUNDED_ONCE,
        )
    if save:
        return warning(name, f"snapshots only (save {save}): a crash forgets the tasks and refunds since", advice)
    if save is None:
        return warning(name, "no append-only file; whether there are snapshots cannot be told", advice)
    return fault(name, "nothing is kept: a restart forgets tasks and refunds", advice, Promise.REFUNDED_ONCE)


def judge_eviction(info: Info, configured: str | None) -> Finding:
    """The finding about eviction: whether it throws keys away when memory is short."""
    policy = info.get("maxmemory_policy") or configured
    if policy is None:
        return warning(
            "redis eviction",
            "cannot be told: this Redis does not say",
            "its provider's console must have eviction switched off",
        )
    if policy == "noeviction":
        return ok("redis eviction", "noeviction")
    return fault(
        "redis eviction",
        f"{policy}: when memory is short, tasks, jobs and refunds vanish without a word",
        "set maxmemory-policy noeviction",
        Promise.EVERY_TASK_ENDS,
    )


def judge_longest_value(configured: str | None) -> Finding:
    """The finding about the longest value that it takes. `configured` comes from CONFIG, None if refused."""
    name, best = "redis longest value", longest_value.SETTINGS
    if configured is None or not configured.isdecimal():
        return warning(
            name,
            "cannot be told: this Redis does not say",
            "see its provider's limit for one request: a few MB are enough, and one of 400 MB stops Redis for seconds",
        )
    told = f"{int(configured) / 2**20:.0f} MB"
    if int(configured) <= longest_value.LONGEST_VALUE_BYTES:
        return ok(name, told)
    commands = "; ".join(f"redis-cli CONFIG SET {setting} {value}" for setting, value in best.items())
    return warning(
        name,
        f"{told}: nothing else is done for seconds while Redis stores a document as long as that",
        f"{commands}; then CONFIG REWRITE, or the same in redis.conf",
    )


def judge_memory(info: Info) -> Finding:
    """The finding about its memory, where there is a limit."""
    used, limit = int(info.get("used_memory", 0)), int(info["maxmemory"])
    told = f"{used / 2**20:.0f} of {limit / 2**20:.0f} MB"
    if used < NEARLY_FULL * limit:
        return ok("redis memory", told)
    return warning("redis memory", told, "raise maxmemory: a full Redis takes no more tasks")


async def _ping(client: "Redis") -> list[float]:
    """Milliseconds of each; the first one, which connects, is left out."""
    await client.ping()
    found = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await client.ping()
        found.append((time.perf_counter() - began) * 1000)
    return found


async def _clock(client: "Redis") -> ClockReading | None:
    asked = datetime.now(UTC)
    try:
        seconds, microseconds = await client.time()
    except (ResponseError, RedisRefuses):
        return None
    return ClockReading(asked, datetime.fromtimestamp(seconds + microseconds / 1e6, UTC), datetime.now(UTC))


async def _pauses(client: "Redis") -> list[Pause]:
    """The pauses of the fleet and of a few tenants."""
    try:
        return list((await Pauses(client).list()).values())[:MAX_PAUSES]
    except (ResponseError, RedisRefuses):  # of another type, or no right: other checks say so
        return []


async def _info(client: "Redis") -> Info:
    try:
        return dict(await client.info())
    except (ResponseError, RedisRefuses):  # an ACL without it
        return {}


async def _config(client: "Redis", name: str) -> str | None:
    """A setting; None where that is not allowed, or not known."""
    try:
        found: str | None = (await client.config_get(name)).get(name)
    except (ResponseError, RedisRefuses):
        return None
    return found


async def _check_rights(url: str) -> Finding:
    """Check that the user in the URL may do all that we do. None of it takes effect."""
    pool = connection_pool(url, name="wearon-doctor")
    try:
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        # An empty one first: without a transaction around them, the commands would be done.
        missing = await _refused(connection, redis_rights.EMPTY)
        missing = missing or await _refused(connection, redis_rights.REHEARSAL)
    except (RedisError, OSError) as error:
        told = str(error) or type(error).__name__
        return warning("redis rights", f"cannot be told: {told}", "Redis must know transactions (MULTI, DISCARD)")
    finally:
        await pool.disconnect()
    if not missing:
        return ok("redis rights", f"all of the {len(redis_rights.COMMANDS)} commands that we send")
    return fault(
        "redis rights",
        f"no right to {', '.join(missing)}",
        "docs/operations.md has the rule for `ACL SETUSER`",
        Promise.EVERY_TASK_ENDS,
    )


async def _refused(connection: "AbstractConnection", commands: Sequence[Sequence[str]]) -> list[str]:
    """The commands that the user has no right to. All are sent in one piece, on the connection of MULTI."""
    await connection.send_packed_command(connection.pack_commands(commands))
    missing = []
    for command in commands:
        try:
            await connection.read_response()
        except NoPermissionError as error:
            missing.append(
                redis_rights.name(command).replace("|", " ") + (" on keys of ours" if "key" in str(error) else "")
            )
        except ResponseError:
            # This server does not have it, or is no primary, which other checks say.
            if command == redis_rights.BEGIN:
                raise
    return missing
