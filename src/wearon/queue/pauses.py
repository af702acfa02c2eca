"""Pauses: while the fleet, or one tenant, is paused, none of its jobs is started.

A pause is a field of one hash in Redis (`keys.PAUSES`). `take` looks there, so it holds from the next take on, by any
worker; the heartbeat tells every process. Producers go on pushing, and jobs that run go on. A job that had begun before
and passes its deadline meanwhile is given to a worker all the same, which fails it with one refund.

An operator's pause is ended by an operator. The fleet's own (`wearon.tryon.fleet_breaker`) is ended by a job that
succeeds, too: one is let through in `PROBE_S`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from pydantic import BaseModel, Field, ValidationError, computed_field
from redis.asyncio import Redis

from wearon.queue import keys
from wearon.redis.scripts import load_script

FLEET = "*"
"""In place of a tenant: all of them."""

PROBE_S = 30.0
"""Between two jobs that are let through while the fleet pauses itself; and none while the last one still runs."""

PUT_ASIDE_S = 5.0
"""How long a due job of a paused tenant is put aside: it goes on so soon after the end of the pause."""

FEW_REFUSALS = 3
"""Jobs, whichever they are, that were refused for the same cause before the fleet pauses itself."""

COUNTED_S = 300.0
"""How long a refusal is counted after the last one: a single worker with one slot makes three in a few minutes."""

MAX_REASON = 300
"""Characters of a reason or a name: every heartbeat carries the fleet's pause."""

MAX_NAMED = 200
"""Paused tenants that a heartbeat names. If there are more, it names none, and `take` passes over them all the same."""

_FAR = 32_503_680_000_000
"""The year 3000, in milliseconds: what is beyond was not written by us."""


class PauseKind(StrEnum):
    """Who made a pause."""

    OPERATOR = "operator"
    BREAKER = "breaker"
    """The fleet itself."""


class Pause(BaseModel):
    """Why the fleet, or one tenant, is paused."""

    tenant: str = FLEET
    kind: str = PauseKind.OPERATOR
    """A PauseKind, or that of a newer version."""
    reason: str = ""
    by: str = ""
    """The operator, or the worker that was refused last."""
    cause: str = ""
    """Of the fleet's own pause: which refusal (`wearon.tryon.fleet_breaker`)."""
    since_ms: int = Field(default=0, ge=0, le=_FAR)
    """By the clock of the Redis server (epoch)."""
    probed_ms: int = 0
    """When the last probe began, or the pause did."""
    probe: str | None = None
    """The job that was let through last."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def since(self) -> datetime:
        """When the pause began."""
        return datetime.fromtimestamp(self.since_ms / 1000, UTC)

    @property
    def is_own(self) -> bool:
        """Whether the fleet made it itself, and ends it itself."""
        return self.kind == PauseKind.BREAKER


def read_pause(tenant: str, written: bytes) -> Pause:
    """The pause that lies in Redis. One that cannot be read counts as a pause that only an operator ends."""
    try:
        return Pause.model_validate_json(written).model_copy(update={"tenant": tenant})
    except ValidationError:
        return Pause(tenant=tenant, reason="it cannot be read")


class Pauses:
    """The pauses in Redis. All methods raise redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write = redis.register_script(load_script("queue", "write_pause"))
        self._end = redis.register_script(load_script("queue", "end_pause"))
        self._resume = redis.register_script(load_script("queue", "resume"))

    async def list(self) -> Mapping[str, Pause]:
        """All pauses by tenant."""
        found = cast("Mapping[bytes, bytes]", await self._redis.hgetall(keys.PAUSES))
        tenants = {tenant.decode(errors="replace"): written for tenant, written in sorted(found.items())}
        return {tenant: read_pause(tenant, written) for tenant, written in tenants.items()}

    async def pause(self, tenant: str, reason: str, by: str, audit_entry: str = "") -> None:
        """An operator pauses the tenant or the fleet; the fleet's own pause becomes the operator's.

        `audit_entry` goes to the audit log.
        """
        await self._store(Pause(tenant=tenant, reason=reason[:MAX_REASON], by=by[:MAX_REASON]), 0, audit_entry)

    async def resume(self, tenant: str, audit_entry: str = "") -> bool:
        """An operator ends a pause of either kind. False: there was none. `audit_entry` goes to the audit log."""
        return bool(await self._resume(keys=[keys.PAUSES], args=[tenant, audit_entry]))

    async def count_refusal(self, cause: str, reason: str, by: str) -> bool:
        """Count a refusal, and pause the fleet after `FEW_REFUSALS`. True: this one has done it."""
        own = Pause(kind=PauseKind.BREAKER, cause=cause, reason=reason[:MAX_REASON], by=by[:MAX_REASON])
        return await self._store(own, FEW_REFUSALS)

    async def forget_refusals(self, cause: str) -> None:
        """What was refused has been granted since."""
        await self._redis.delete(keys.REFUSALS + cause)

    async def end_own(self, pause: Pause) -> bool:
        """End the fleet's own pause, because a job has succeeded. False: it is over, or another one."""
        return bool(await self._end(keys=[keys.PAUSES], args=[pause.since_ms, 1]))

    async def probe_again(self, pause: Pause) -> None:
        """Let the next probe through at once: the last one has ended without asking for what was refused."""
        await self._end(keys=[keys.PAUSES], args=[pause.since_ms, 0])

    async def _store(self, pause: Pause, refusals: int, audit_entry: str = "") -> bool:
        document = pause.model_dump_json(exclude={"tenant", "since"}, exclude_none=True)
        return bool(
            await self._write(
                keys=[keys.PAUSES, keys.REFUSALS + pause.cause],
                args=[pause.tenant, document, refusals, round(COUNTED_S), audit_entry],
            )
        )
