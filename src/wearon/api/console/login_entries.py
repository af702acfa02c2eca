"""Entries of the audit log about logins: each that was granted, and a bounded number of those that were refused.

Bounded, because anybody can have logins refused, and the log keeps its newest entries only. What is not entered is in
the process's log and in a metric, like all the others.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from wearon.api.guesses import client_of
from wearon.queue.audit_log import Action, Actor, AuditLog, Via

log = structlog.get_logger()

REFUSED_WITHIN_S = 3600.0
REFUSED_ENTRIES = 20
"""Within an hour, by each process: at most one of a client. Somebody who guesses day and night from many addresses
fills the log's 10,000 entries in three weeks."""

PATIENCE_S = 1.0
"""A login does not wait longer for its entry: an operator must get in while Redis is away."""

NOBODY = "nobody"


class LoginEntries:
    """Enters logins of one process."""

    def __init__(self, audit_log: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._audit_log = audit_log
        self._clock = clock
        self._refused: deque[tuple[float, str]] = deque(maxlen=REFUSED_ENTRIES)
        self._late: set[asyncio.Task[None]] = set()

    async def granted(self, address: str, role: str) -> None:
        """Enter that a client has logged in."""
        await self._note(Actor(role, Via.CONSOLE), Action.LOG_IN, address)

    async def refused(self, address: str) -> None:
        """Enter that a client's token was wrong, if it is one of the first."""
        client, now = client_of(address), self._clock()
        within = [known for at, known in self._refused if 0 <= now - at < REFUSED_WITHIN_S]
        if client in within or len(within) == REFUSED_ENTRIES:
            return
        self._refused.append((now, client))
        await self._note(Actor(NOBODY, Via.CONSOLE), Action.LOGIN_REFUSED, address)

    async def _note(self, by: Actor, action: Action, address: str) -> None:
        noting = asyncio.create_task(self._try_to_note(by, action, address))
        self._late.add(noting)
        noting.add_done_callback(self._late.discard)
        await asyncio.wait({noting}, timeout=PATIENCE_S)

    async def _try_to_note(self, by: Actor, action: Action, address: str) -> None:
        try:
            await self._audit_log.note(by, action, f"client {address}")
        except (RedisError, OSError) as error:
            log.warning("login not in the audit log", action=action.value, client=address, error=str(error))
