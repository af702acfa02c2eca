"""What this process hears of its Redis, from every answer on every connection: for /health, and for the connections.

A refusal is forgotten when what was refused is done again. What refuses all writing is over when the heartbeat, which
writes, says so (`wrote`): reads go on meanwhile.
"""

import time
from collections.abc import Callable, Mapping

from redis.exceptions import ResponseError

from wearon.dependencies import Dependencies, Dependency
from wearon.redis_errors import NOT_WRITABLE, WRONG_SERVER, BadKey, RedisRefuses, RedisUnavailable, told

WRITING = "write"
CONNECTION = "connection"
KEY = "key "
"""What is `asked` of Redis where it is no single command."""


class RedisWatch:
    """One for each process, shared by its clients: what one connection learns holds for the others."""

    def __init__(self, dependencies: Dependencies | None = None) -> None:
        self.dependencies = dependencies or Dependencies()
        self.broken_at = float("-inf")
        """Connections opened before this moment (monotonic clock) are not used again: they may lead to a server that
        is gone or no primary any more, and would each take a time-out to say so."""
        self.on_broken: list[Callable[[], None]] = []
        """Called when `broken_at` has moved: whoever waits for an answer on an older connection need not."""
        self._refused: set[str] = set()

    def unavailable(self, error: RedisUnavailable, asked: str, opened_at: float | None) -> None:
        """A connection has been closed for this error. `opened_at`: None when it never was open."""
        if isinstance(error, RedisRefuses) and error.code in NOT_WRITABLE:
            asked = WRITING
        elif not isinstance(error, RedisRefuses) or error.code in WRONG_SERVER or opened_at is None:
            asked = CONNECTION
        self._note(asked, error.words)
        elsewhere = not isinstance(error, RedisRefuses) or error.code in WRONG_SERVER
        if elsewhere and opened_at is not None and opened_at >= self.broken_at:
            self.broken_at = time.monotonic()
            for hear in self.on_broken:
                hear()

    def complained(self, error: ResponseError, asked: str) -> None:
        """Redis has not done one command."""
        words = str(error) if isinstance(error, BadKey) else f"Redis refuses {asked.partition(' ')[0]}: {error}"
        self._note(asked, told(words))

    def answered(self, asked: str) -> None:
        """A command was done."""
        if self._refused:
            self._forget(CONNECTION)
            self._forget(asked)

    def wrote(self) -> None:
        """Something was written."""
        self._forget(WRITING)

    def looked_at_keys(self, bad: Mapping[str, str]) -> None:
        """`bad`: the keys that hold what they must not hold, and what that is."""
        for asked in [asked for asked in self._refused if asked.startswith(KEY) and asked.removeprefix(KEY) not in bad]:
            self._forget(asked)
        for key, words in bad.items():
            self._note(KEY + key, words)

    def _note(self, asked: str, words: str) -> None:
        self._refused.add(asked)
        self.dependencies.refused(Dependency.REDIS, words, asked)

    def _forget(self, asked: str) -> None:
        if asked in self._refused:
            self._refused.discard(asked)
            self.dependencies.answered(Dependency.REDIS, asked)
