"""The events of a process: one object is handed to those who publish and to those who subscribe.

An event is a frozen dataclass, defined beside what publishes it. Publishers know no subscribers, so a job is not slower
to read for what is counted, written down and shown of it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

E = TypeVar("E")


class Events:
    """Hands each event to the subscribers of its type, one after the other in the order in which they subscribed.

    `publish` returns when all have seen it: a history that writes to Redis has written before an attempt's end goes on.
    A subscriber that raises is logged, and costs neither the publisher nor the other subscribers anything.
    """

    def __init__(self) -> None:
        self._subscribers: dict[type, list[Callable[[Any], Awaitable[None] | None]]] = {}

    def subscribe(self, kind: type[E], subscriber: Callable[[E], Awaitable[None] | None]) -> None:
        """Call `subscriber` with each event of that type from now on, and await it if it is a coroutine function."""
        self._subscribers.setdefault(kind, []).append(subscriber)

    async def publish(self, event: object) -> None:
        """Tell the event's subscribers; raises nothing but a cancellation."""
        for subscriber in self._subscribers.get(type(event), ()):
            try:
                waiting = subscriber(event)
                if waiting is not None:
                    await waiting
            except Exception:
                log.exception("a subscriber failed", event_type=type(event).__name__)
