"""Every error of a connection is one of the drawn tree, whatever raised it and however Redis words it."""

import asyncio
import ssl

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from wearon.redis.errors import BadKey, RedisRefuses, RedisUnavailable, RedisUnreachable, ours

SCRIPT = (b"EVALSHA", b"0123", 2, "wearon:jobs", b"wearon:running", b"b2c:job")


def answer(text: str) -> Exception:
    """What redis-py makes of an error that Redis answers."""
    error: Exception = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("READONLY You can't write against a read only replica.", "READONLY", "Redis may not be written: READONLY"),
        # From a script: Redis 7, and Redis 6.2.
        ("READONLY You can't write against a read only replica. script: 01, on @user_script:5.", "READONLY", None),
        (
            "ERR Error running script (call to f_01): @user_script:4: @user_script: 4: -READONLY You can't write "
            "against a read only replica.",
            "READONLY",
            "Redis may not be written: READONLY",
        ),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "Redis may not be written: OOM"),
        (
            "ERR Error running script (call to f_01): @user_script:4: @user_script: 4: -OOM command not allowed",
            "OOM",
            None,
        ),
        ("MISCONF Redis is configured to save RDB snapshots", "MISCONF", "Redis may not be written: MISCONF"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", "Redis may not be written: NOREPLICAS"),
        ("LOADING Redis is loading the dataset in memory", "LOADING", "Redis is not ready: LOADING"),
        ("MASTERDOWN Link with MASTER is down", "MASTERDOWN", "Redis is not ready: MASTERDOWN"),
        ("BUSY Redis is busy running a script.", "BUSY", "Redis is not ready: BUSY"),
        ("UNBLOCKED force unblock from blocking operation", "UNBLOCKED", "Redis has changed its role: UNBLOCKED"),
        ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN", None),
        ("MOVED 3999 127.0.0.1:6381", "MOVED", "Redis is a cluster, which cannot be used: MOVED"),
        ("ASK 3999 127.0.0.1:6381", "ASK", None),
        ("CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT", None),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", None),
        ("NOAUTH Authentication required.", "NOAUTH", "Redis refuses our user or password: NOAUTH"),
        ("WRONGPASS invalid username-password pair", "WRONGPASS", "Redis refuses our user or password: WRONGPASS"),
        ("NOPERM User w has no permissions to run the 'blmove' command", "NOPERM", "no right to BLMOVE"),
        ("NOPERM this user has no permissions to run the 'client|info' command", "NOPERM", "no right to CLIENT INFO"),
        (
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM",
            "no right to a key of a command of a script",
        ),
        (
            "ERR Error running script (call to f_01): @user_script:3: The user executing the script can't run this "
            "command or subcommand",
            "NOPERM",
            "no right to a command of a script",
        ),
        (
            "NOPERM ACL failure in script: User w has no permissions to run the 'zadd' command script: 01",
            "NOPERM",
            "no right to ZADD",
        ),
        (
            "ERR ACL failure in script: User w has no permissions to run the 'set' command script: on @user_script:1.",
            "NOPERM",
            "no right to SET",
        ),
        ("ERR max number of clients reached", "MAXCLIENTS", "Redis takes no more connections"),
    ],
)
def test_an_answer_about_the_server_or_about_us(text: str, code: str, words: str | None) -> None:
    found = ours(answer(text), SCRIPT)
    assert isinstance(found, RedisRefuses)
    assert found.code == code
    assert words in {None, found.words}


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Connection closed by server."),
        exceptions.TimeoutError("Timeout reading from host:6379"),
        exceptions.InvalidResponse("Protocol error"),
        exceptions.RedisError("Buffer is closed."),
        ConnectionResetError(104, "Connection reset by peer"),
        OSError(24, "Too many open files"),
        ssl.SSLError("certificate verify failed"),
        asyncio.IncompleteReadError(b"", 10),
        TimeoutError(),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
        RecursionError("maximum recursion depth exceeded"),
    ],
)
def test_whatever_a_transport_raises_is_out_of_reach(error: Exception) -> None:
    found = ours(error, SCRIPT)
    assert isinstance(found, RedisUnreachable)
    assert found.words.startswith("Redis cannot be reached: ")
    assert ours(found) is found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("WRONGTYPE Operation against a key", "one of wearon:jobs, wearon:running has the wrong type"),
        (
            "ERR Error running script (call to f_01): @user_script:4: -WRONGTYPE Operation against a key",
            "one of wearon:jobs, wearon:running has the wrong type",
        ),
        ("WRONGTYPE wearon:jobs is a string, not a zset", "wearon:jobs is a string, not a zset"),
    ],
)
def test_a_key_that_holds_something_else_is_named(text: str, words: str) -> None:
    found = ours(answer(text), SCRIPT)
    assert isinstance(found, BadKey)
    assert str(found) == words


@pytest.mark.parametrize("text", ["ERR unknown command", "NOSCRIPT No matching script.", "ERR value is not an integer"])
def test_what_is_about_one_command_stays_what_it_is(text: str) -> None:
    error = answer(text)
    assert ours(error, SCRIPT) is error
    assert not isinstance(error, RedisUnavailable)


def test_what_redis_quotes_is_not_handed_on() -> None:
    found = ours(answer("WRONGTYPE wearon:jobs is bad, with args beginning with: `secret`"), SCRIPT)
    assert "secret" not in str(found)
