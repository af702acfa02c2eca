"""Every command that we send to Redis, scripts' own included: what the user in `REDIS_URL` must be allowed to do.

The doctor tries them (`wearon.doctor.redis`), docs/operations.md shows the rule, and tests run as a user who may no
more than this. What is missing in use is named by `/health` (`wearon.redis.errors`: "no right to BLMOVE").
"""

from collections.abc import Sequence

from wearon.queue import keys

KEY = "wearon:doctor"
"""No key of this name is ever made."""

COMMANDS: Sequence[Sequence[str]] = (
    # Each as it is tried: with as many arguments as it needs, and a key of ours where it takes one.
    ("BLMOVE", keys.TASKS, keys.PENDING, "RIGHT", "LEFT", "1"),
    ("BLPOP", keys.WAKE, "1"),
    ("CLIENT", "SETNAME", "wearon-doctor"),
    ("DECR", KEY),
    ("DEL", KEY),
    ("EVAL", "return 1", "1", KEY),
    ("EVALSHA", "0" * 40, "1", KEY),
    ("EXISTS", KEY),
    ("EXPIRE", KEY, "1"),
    ("GET", KEY),
    ("HDEL", KEY, "field"),
    ("HEXISTS", KEY, "field"),
    ("HGET", KEY, "field"),
    ("HGETALL", KEY),
    ("HINCRBY", KEY, "field", "1"),
    ("HKEYS", KEY),
    ("HLEN", KEY),
    ("HMGET", KEY, "field"),
    ("HSET", KEY, "field", "value"),
    ("HSETNX", KEY, "field", "value"),
    ("HVALS", KEY),
    ("INCR", KEY),
    ("LINDEX", KEY, "0"),
    ("LLEN", KEY),
    ("LPOS", KEY, "value"),
    ("LPUSH", KEY, "value"),
    ("LRANGE", KEY, "0", "0"),
    ("LREM", KEY, "1", "value"),
    ("LSET", KEY, "0", "value"),
    ("LTRIM", KEY, "0", "0"),
    ("MEMORY", "USAGE", KEY),
    ("PEXPIRE", KEY, "1"),
    ("PING",),
    ("RPUSH", KEY, "value"),
    ("SCRIPT", "LOAD", "return 1"),
    ("SET", "arq:job:wearon-doctor", "value"),
    ("TIME",),
    ("TYPE", KEY),
    ("ZADD", KEY, "1", "member"),
    ("ZCARD", KEY),
    ("ZCOUNT", KEY, "0", "1"),
    ("ZRANGE", KEY, "0", "0"),
    ("ZRANGEBYSCORE", KEY, "0", "1"),
    ("ZREM", KEY, "member"),
    ("ZREVRANGE", KEY, "0", "0"),
    ("ZSCAN", KEY, "0"),
    ("ZSCORE", KEY, "member"),
)

BEGIN: Sequence[str] = ("MULTI",)
EMPTY: Sequence[Sequence[str]] = (BEGIN, ("EXEC",))
REHEARSAL: Sequence[Sequence[str]] = (BEGIN, *COMMANDS, ("DISCARD",))
"""All of them in a transaction that is given up: Redis looks whether the user may do each, and does none. (`ACL DRYRUN`
would ask for a right to itself, and for Redis 7.)"""

WITH_SUBCOMMANDS = frozenset({"CLIENT", "MEMORY", "SCRIPT"})

HELPFUL = ("CONFIG|GET", "INFO")
"""Without these the doctor cannot tell whether Redis keeps what it is given."""

KEY_PATTERNS = ("wearon:*", "arq:*")


def name(command: Sequence[str]) -> str:
    """The command as ACL rules spell it."""
    return "|".join(command[:2] if command[0] in WITH_SUBCOMMANDS else command[:1])


def acl_rule() -> str:
    """What a user of the worker's own may, for `ACL SETUSER` or a users' file."""
    rights = sorted([*map(name, COMMANDS), "MULTI", "EXEC", "DISCARD", *HELPFUL])
    return " ".join([*(f"~{pattern}" for pattern in KEY_PATTERNS), "-@all", *(f"+{right.lower()}" for right in rights)])
