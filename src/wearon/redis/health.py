"""What this process knows of its Redis from every answer on every connection: for /health, and for the connections.

A refusal is forgotten when what was refused is done again. What refuses all writing is over when the heartbeat, which
writes, says so (`wrote`): reads go on meanwhile.
"""

import asyncio
import time
from collections.abc import Mapping

from redis.asyncio import ConnectionPool
from redis.exceptions import ResponseError

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.redis.errors import NOT_WRITABLE, WRONG_SERVER, BadKey, RedisRefuses, RedisUnavailable, told

WRITING = "write"
CONNECTION = "connection"
KEY = "key "
"""Values of `asked` that are no single command."""

_KINDS = {
    "READONLY": RefusalKind.READ_ONLY,
    "OOM": RefusalKind.FULL,
    "MISCONF": RefusalKind.FULL,
    "NOAUTH": RefusalKind.KEY_REFUSED,
    "WRONGPASS": RefusalKind.KEY_REFUSED,
    "NOPERM": RefusalKind.REFUSED,
}
"""By the answer's first word. MISCONF: it could not write to its disk, which is mostly full."""


class RedisHealth:
    """The health of one Redis. A process has one, shared by its clients: what one connection learns holds for all."""

    def __init__(self) -> None:
        self.dependencies = Dependencies()
        self.broken_at = float("-inf")
        """Connections opened before this moment (monotonic clock) are not used again: they may lead to a server that
        is gone or no primary any more, and would each take a time-out to say so."""
        self._waiting: list[ConnectionPool] = []
        self._hanging_up: set[asyncio.Task[None]] = set()
        self._refused: set[str] = set()
        self._silent_since: float | None = None

    def hang_up_when_broken(self, pool: ConnectionPool) -> None:
        """End the connections of a client that waits when `broken_at` moves: on a dead one it would wait for long."""
        self._waiting.append(pool)

    def unavailable(self, error: RedisUnavailable, asked: str, opened_at: float | None) -> None:
        """Note that a connection was closed for this error. `opened_at` is None when it never was open."""
        if isinstance(error, RedisRefuses) and error.code in NOT_WRITABLE:
            asked = WRITING
        elif not isinstance(error, RedisRefuses) or error.code in WRONG_SERVER or opened_at is None:
            asked = CONNECTION
        code = error.code if isinstance(error, RedisRefuses) else ""
        self._note(asked, error.words, _KINDS.get(code, RefusalKind.AWAY))
        elsewhere = not isinstance(error, RedisRefuses) or error.code in WRONG_SERVER
        if elsewhere and opened_at is not None and opened_at >= self.broken_at:
            self.broken_at = time.monotonic()
            for pool in self._waiting:
                task = asyncio.get_running_loop().create_task(pool.disconnect())
                self._hanging_up.add(task)
                task.add_done_callback(self._hanging_up.discard)

    def complained(self, error: ResponseError, asked: str) -> None:
        """Note that Redis has refused one command."""
        words = str(error) if isinstance(error, BadKey) else f"Redis refuses {asked.partition(' ')[0]}: {error}"
        kind = RefusalKind.BAD_KEY if isinstance(error, BadKey) else RefusalKind.REFUSED
        self._note(asked, told(words), kind)

    def answered(self, asked: str) -> None:
        """Note that a command was done."""
        if self._refused:
            self._forget(CONNECTION)
            self._forget(asked)

    def must_write(self) -> None:
        """Expect writes from now on: this process has a lease to keep."""
        self._silent_since = self._silent_since or time.monotonic()

    def wrote(self, asked_at: float) -> None:
        """Note a write that was asked for at that moment (monotonic clock)."""
        self._silent_since = asked_at
        self._forget(WRITING)

    def silent_s(self) -> float:
        """Seconds since this process has written to Redis; 0 where it has no lease to keep."""
        return time.monotonic() - self._silent_since if self._silent_since is not None else 0.0

    def looked_at_keys(self, bad: Mapping[str, str]) -> None:
        """Note the keys whose values have a wrong type or content, each with what it is."""
        for asked in [asked for asked in self._refused if asked.startswith(KEY) and asked.removeprefix(KEY) not in bad]:
            self._forget(asked)
        for key, words in bad.items():
            self._note(KEY + key, words, RefusalKind.BAD_KEY)

    def _note(self, asked: str, words: str, kind: RefusalKind) -> None:
        self._refused.add(asked)
        self.dependencies.refused(Dependency.REDIS, words, asked, kind)

    def _forget(self, asked: str) -> None:
        if asked in self._refused:
            self._refused.discard(asked)
            self.dependencies.answered(Dependency.REDIS, asked)
