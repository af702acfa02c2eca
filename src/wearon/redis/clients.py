"""The one place that decides how Redis is talked to: names, time-outs, keep-alive, retries.

No command is ever repeated behind the caller's back: a push, a BLMOVE or a script whose answer got lost may have been
done, and only the caller knows whether doing it again is harmless. What is retried is connecting, before the command
is sent. So a Redis that was restarted between two commands is found again without an error, and a command that was
under way when it went is an error that the caller sees.

Every error of a connection becomes one of `wearon.redis.errors` here, and an answer about the server ends the
connection; what was heard is remembered by `wearon.redis.health`.

Answers are bytes, never decoded: arq needs that, and what producers push need not be UTF-8.
"""

import inspect
import socket
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.backoff import EqualJitterBackoff

from wearon.redis.connection import OnCommand, bounded_parser, reporting
from wearon.redis.health import RedisHealth
from wearon.redis.url import BadRedisUrl, RedisUrl, parse_redis_url

ANSWER_TIMEOUT_S = 5.0
"""Limit for a command that does not block. Ours take under a millisecond in Redis, 100 ms to a far region; beyond this
the connection is dead or Redis is, and waiting longer would only hide it."""

LONGEST_BLOCK_S = 20.0
"""The longest wait that a blocking command may ask for: three commands an idle minute, each of them billed."""

CONNECT_TIMEOUT_S = 5.0
"""DNS, TCP with one lost SYN (1 s), TLS."""

CONNECT_RETRIES = 3
CONNECT_BACKOFF_S = (0.1, 1.0)
"""Step and upper bound of the pauses between attempts to connect, half of each by chance: 0.7 to 1.4 s in all, what a
restart of Redis takes. A longer outage is the caller's business, who knows what can wait."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""TCP keep-alive in seconds, seconds and times: an idle connection is never silent for so long that a balancer forgets
it (the usual limits are minutes), and a peer that is gone without a word is noticed after a minute.

redis-py's own health check (PING before use) stays off: it costs billed commands, and in 5.3 a server that takes a
connection and closes it during the hand-shake, as a proxy without a backend does, sends it into a recursion of
reconnects that ends after minutes with a RecursionError."""

MAX_CONNECTIONS = 20
"""Connections of one client. A connection carries some thousand commands a second, so 150 running jobs with a few
commands each never wait; hosted plans start at some hundred connections for the whole fleet."""

LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
"""Limit for an answer to a command: ten times the longest honest one, a hundred dead letters."""

LONGEST_POPPED_BYTES = 2 * 1024 * 1024
"""Limit for an answer to a blocking command: twice the longest document that is looked into. A longer one would hold
the connection for as long as it travels."""

POOL_WAIT_S = 5
"""How long to wait for a free connection before giving up: as long as for an answer."""

_NO_INTRODUCTION: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}  # redis-py 5
)
"""No CLIENT SETINFO: two billed commands a connection, which Redis 7.0 does not know."""


def connect(
    url: str,
    *,
    name: str,
    blocking: bool = False,
    on_command: OnCommand | None = None,
    health: RedisHealth | None = None,
) -> Redis:
    """A client for `url` (redis://, or rediss:// with a checked certificate) that connects when first used.

    `name` is shown by CLIENT LIST. `blocking` is for connections that wait in BLMOVE and the like, for up to
    LONGEST_BLOCK_S; give each waiting loop a client of its own. `on_command` hears the name of each command sent, and
    `health` what becomes of it; the clients of one process share it. Raises BadRedisUrl.
    """
    health = health or RedisHealth()
    pool = connection_pool(url, name=name, blocking=blocking)
    # Afterwards, because the URL has decided between plain and TLS connections by now.
    pauses = EqualJitterBackoff(base=CONNECT_BACKOFF_S[0], cap=CONNECT_BACKOFF_S[1])
    pool.connection_class = reporting(pool.connection_class, health, on_command, CONNECT_RETRIES, pauses)
    if blocking:
        health.hang_up_when_broken(pool)
    return Redis.from_pool(pool)


def connection_pool(url: str, *, name: str, blocking: bool = False) -> BlockingConnectionPool:
    """The connections under `connect`, for a client class of another library. Raises BadRedisUrl."""
    parts = parse_redis_url(url)
    return BlockingConnectionPool(
        connection_class=SSLConnection if parts.tls else Connection,
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_S,
        host=parts.host,
        port=parts.port,
        db=parts.db,
        username=parts.username,
        password=parts.password,
        client_name=name,
        socket_timeout=ANSWER_TIMEOUT_S + (LONGEST_BLOCK_S if blocking else 0),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        socket_keepalive_options=_keep_alive_options(),
        health_check_interval=0,
        # No `retry`: redis-py 8 repeats commands by it, too (see the module's docstring). Our connection class tries
        # connecting again.
        protocol=2,  # what arq's and our scripts' answers are read as; redis-py 8 would speak RESP3
        decode_responses=False,
        parser_class=bounded_parser(LONGEST_POPPED_BYTES if blocking else LONGEST_ANSWER_BYTES),
        **_NO_INTRODUCTION,
        **_tls_options(parts),
    )


def without_password(url: str) -> str:
    """The URL as it may be shown to people: scheme, host, port and database only."""
    try:
        return parse_redis_url(url).shown
    except BadRedisUrl:
        return "an unreadable Redis URL"


def _tls_options(parts: RedisUrl) -> dict[str, Any]:
    if not parts.tls:
        return {}
    # redis-py checks the host name of a certificate only when it is asked to.
    return {"ssl_cert_reqs": parts.cert_reqs, "ssl_check_hostname": parts.check_hostname, **parts.files}


def _keep_alive_options() -> dict[int, int]:
    """The options of KEEP_ALIVE that this platform has."""
    return {getattr(socket, option): value for option, value in KEEP_ALIVE.items() if hasattr(socket, option)}
