"""How far the deletion of old pictures has come, in Redis, and whose turn it is to go on."""

from typing import cast

from redis.asyncio import Redis

from wearon.operations.readable import read
from wearon.operations.retention.rounds import Round
from wearon.queue import keys

REMEMBERED_S = 3600
"""Each process that deletes asks every ten minutes for its turn, and renews this. So what was noted is gone soon after
the last process stops deleting, and so is an incident about it."""


class RoundStore:
    """Reads and writes it. All methods raise redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take_turn(self, for_s: int) -> bool:
        """Whether no process has taken its turn within `for_s` seconds; then it is this one's."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(keys.RETENTION_TURN, "taken", nx=True, ex=for_s)
            pipe.expire(keys.RETENTION, REMEMBERED_S)
            taken, _ = await pipe.execute()
        return bool(taken)

    async def release_turn(self) -> None:
        """Let another process go on."""
        await self._redis.delete(keys.RETENTION_TURN)

    async def read(self) -> Round | None:
        """The newest round; None: there is none that can be read."""
        return read(Round, cast("bytes | None", await self._redis.get(keys.RETENTION)))

    async def write(self, newest: Round) -> None:
        """Keep this round instead of the last one."""
        await self._redis.set(keys.RETENTION, newest.model_dump_json(), ex=REMEMBERED_S)
