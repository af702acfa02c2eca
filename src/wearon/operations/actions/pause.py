"""Pausing and resuming, for the command line and the console: the fleet, b2c as a whole, or one store."""

from uuid import UUID

from wearon.operations.actions.errors import NotPossible
from wearon.platform.base import Channel
from wearon.queue.audit_log import Action, Actor, AuditLog, Facts
from wearon.queue.pauses import FLEET, Pauses
from wearon.queue.tenants import B2C, tenant_of

THE_FLEET = "the fleet"


class PauseActions:
    """`store` is a store's id, `b2c`, or None for the fleet. All methods raise NotPossible and redis errors."""

    def __init__(self, pauses: Pauses, audit_log: AuditLog) -> None:
        self._pauses = pauses
        self._audit_log = audit_log

    async def pause(self, store: str | None, reason: str, by: Actor) -> None:
        """Start none of its jobs from now on. What was paused already gets the new reason."""
        tenant, reason = _tenant(store), self._audit_log.clean(reason.strip())
        after: Facts = {"paused": True, "reason": reason}
        entry = self._audit_log.document(by, Action.PAUSE, store or THE_FLEET, after=after)
        await self._pauses.pause(tenant, reason, str(by), entry)

    async def resume(self, store: str | None, by: Actor) -> bool:
        """Start its jobs again. False: it was not paused."""
        tenant = _tenant(store)
        entry = self._audit_log.document(by, Action.RESUME, store or THE_FLEET, after={"paused": False})
        return await self._pauses.resume(tenant, entry)


def _tenant(store: str | None) -> str:
    if store is None or store == B2C:
        return store or FLEET
    try:
        return tenant_of(Channel.B2B, str(UUID(store)))
    except ValueError:
        raise NotPossible(f"{store} is neither the id of a store nor {B2C}") from None
