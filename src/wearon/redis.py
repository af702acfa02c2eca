"""The one place that decides how Redis is talked to: names, time-outs, keep-alive, retries.

No command is ever repeated behind the caller's back: a push, a BLMOVE or a script whose answer got lost may have been
done, and only the caller knows whether doing it again is harmless. What is retried is connecting, before the command
is sent. So a Redis that was restarted between two commands is found again without an error, and a command that was
under way when it went is an error that the caller sees.

Answers are bytes, never decoded: arq needs that, and what producers push need not be UTF-8.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

ANSWER_TIMEOUT_S = 5.0
"""For a command that does not block. Ours take under a millisecond in Redis, 100 ms to a far region; beyond this the
connection is dead or Redis is, and waiting longer would only hide it."""

LONGEST_BLOCK_S = 20.0
"""What a blocking command may ask for on a blocking connection: three commands an idle minute, each of them billed."""

CONNECT_TIMEOUT_S = 5.0
"""DNS, TCP with one lost SYN (1 s), TLS."""

CONNECT_RETRIES = 3
CONNECT_BACKOFF_S = (0.1, 1.0)
"""Step and upper bound of the pauses between attempts to connect, half of each by chance: 0.7 to 1.4 s in all, what a
restart of Redis takes. A longer outage is the caller's business, who knows what can wait."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds, seconds, times: an idle connection is never silent for so long that a balancer forgets it (the usual
limits are minutes), and a peer that is gone without a word is noticed after a minute.

redis-py's own health check (PING before use) stays off: it costs billed commands, and in 5.3 a server that takes a
connection and closes it during the hand-shake, as a proxy without a backend does, sends it into a recursion of
reconnects that ends after minutes with a RecursionError."""

MAX_CONNECTIONS = 20
"""For one client. A connection carries some thousand commands a second, so 150 running jobs with a few commands each
never wait; hosted plans start at some hundred connections for the whole fleet."""

POOL_WAIT_S = 5
"""How long to wait for a free connection before giving up: as long as for an answer."""


OnCommand = Callable[[str], None]
"""Told of every command sent, pipelines' and greetings' (HELLO, CLIENT) too: hosted Redis bills them all."""


class BadRedisUrl(ValueError):
    """The Redis URL cannot be used. The message holds nothing of the URL, which may carry a password."""


def connect(url: str, *, name: str, blocking: bool = False, on_command: OnCommand | None = None) -> Redis:
    """A client for `url` (redis://, or rediss:// with a checked certificate) that connects when first used.

    `name` is shown by CLIENT LIST. `blocking` is for connections that wait in BLMOVE and the like, for up to
    LONGEST_BLOCK_S; give each waiting loop a client of its own. `on_command` hears the name of each command sent.
    Raises BadRedisUrl.
    """
    pool = connection_pool(url, name=name, blocking=blocking)
    if on_command is not None:
        # Afterwards, because the URL has decided between plain and TLS connections by now.
        pool.connection_class = _telling(pool.connection_class, on_command)
    return Redis.from_pool(pool)


def connection_pool(url: str, *, name: str, blocking: bool = False) -> BlockingConnectionPool:
    """The connections under `connect`, for a client class of another library. Raises BadRedisUrl."""
    options: dict[str, object] = {
        "client_name": name,
        "socket_timeout": ANSWER_TIMEOUT_S + (LONGEST_BLOCK_S if blocking else 0),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "socket_keepalive_options": _keep_alive_options(),
        "health_check_interval": 0,
        # `retry_on_error` stays empty, so this is for connecting only (see the module's docstring). redis-py looks
        # for its own errors there, but asyncio raises these two.
        "retry": Retry(
            EqualJitterBackoff(base=CONNECT_BACKOFF_S[0], cap=CONNECT_BACKOFF_S[1]),
            CONNECT_RETRIES,
            (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError),  # type: ignore[arg-type]
        ),
        "decode_responses": False,
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_WAIT_S,
    }
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"}:
            raise ValueError
        if parts.scheme == "rediss" and "ssl_cert_reqs=none" not in parts.query:
            options["ssl_check_hostname"] = True  # redis-py 5 checks the certificate but not whose it is
        return BlockingConnectionPool.from_url(url, **options)
    except ValueError:
        # Not chained: the parser quotes a piece of the password when it holds a raw '/' or '#'.
        raise BadRedisUrl(
            "the Redis URL cannot be read: it must be redis:// or rediss://, with special characters of user and "
            "password percent-encoded"
        ) from None


def without_password(url: str) -> str:
    """The URL as it may be shown to people: scheme, host, port and database only."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable Redis URL"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _telling(plain: type[Any], on_command: OnCommand) -> type[Any]:
    """A connection class that tells of each command as it is packed, which is once for each that is sent."""

    class TellingConnection(plain):  # type: ignore[misc]
        def pack_command(self, *args: Any) -> Any:
            name = args[0]
            # `SCRIPT LOAD` is one command of its own to redis-py, and one of SCRIPT's to the bill.
            on_command((name.decode() if isinstance(name, bytes) else str(name)).partition(" ")[0])
            return super().pack_command(*args)

    return TellingConnection


def _keep_alive_options() -> dict[int, int]:
    """As far as this platform has them."""
    return {getattr(socket, option): value for option, value in KEEP_ALIVE.items() if hasattr(socket, option)}
