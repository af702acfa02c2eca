"""A circuit breaker for a key that is refused, and what `/health` is told of it.

While the key is refused every job is put back and comes again within seconds. Each would send its pictures for nothing,
so this process asks once in `PROBE_S` and answers the others itself, until the key is taken.
"""

import time
from collections.abc import Callable

from wearon.dependencies import Dependencies, Dependency
from wearon.tryon.generator import GenerationError, KeyRejected, QuotaExhausted, ServiceUnavailable

PROBE_S = 2.0
"""Work goes on within 10 s of the key's return, whichever job comes first; a request each 2 s hammers nobody."""

FEW_UNANSWERED = 2
"""Requests in a row without an answer before that is worth saying: single ones happen, and are sent again."""

REFUSAL_WORDS: tuple[tuple[type[GenerationError], str], ...] = (
    (KeyRejected, "OpenAI refuses our key"),
    (QuotaExhausted, "OpenAI has no money left to our account"),
    (ServiceUnavailable, "OpenAI does not answer"),
)
"""What is about us or the service. Any other answer shows that the key is taken and that somebody is there."""


class RefusalBreaker:
    """One for all jobs of a process."""

    def __init__(self, dependencies: Dependencies, clock: Callable[[], float] = time.monotonic) -> None:
        self._dependencies = dependencies
        self._clock = clock
        self._refusal: KeyRejected | None = None
        self._next_probe = 0.0
        self._unanswered = 0

    def check(self) -> None:
        """Raise KeyRejected while the key is known to be refused, except for the one whose turn it is to ask again."""
        if self._refusal is None:
            return
        now = self._clock()
        if now < self._next_probe:
            raise KeyRejected(self._refusal.reason)
        self._next_probe = now + PROBE_S

    def answered(self) -> None:
        """Note that a picture came."""
        self._refusal = None
        self._unanswered = 0
        self._dependencies.answered(Dependency.OPENAI)

    def failed(self, error: GenerationError) -> None:
        """Note how a request failed."""
        words = next((words for kind, words in REFUSAL_WORDS if isinstance(error, kind)), None)
        if words is None:
            self.answered()
            return
        if isinstance(error, ServiceUnavailable):
            self._unanswered += 1
            if self._unanswered < FEW_UNANSWERED:
                return
        self._dependencies.refused(Dependency.OPENAI, words)
        if isinstance(error, KeyRejected):
            self._refusal = error
            self._next_probe = self._clock() + PROBE_S
