"""A circuit breaker for a service that loses requests; `/health` shows its state, and what the service refuses us.

(While our key or account is refused, the whole fleet pauses: `wearon.tryon.fleet_breaker`.)

A request that was sent and got no answer may be paid, and there may be few of them for a picture. When several in a row
were lost, the jobs keep the rest of theirs: this process asks for something that is free, once in `PROBE_S`, until it
is answered.
"""

import time
from collections.abc import Awaitable, Callable

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.tryon.image_model import GenerationError, KeyRejected, NotAsked, QuotaExhausted, ServiceUnavailable

PROBE_S = 2.0
"""Work goes on within 10 s of the service's return, whichever job comes first, and a request each 2 s is no load."""

FEW_UNANSWERED = 2
"""Requests in a row without an answer before that is worth saying: single ones happen, and are sent again."""

AWAY_AFTER = 3
"""Requests lost in a row, of any jobs, before the service counts as away."""

NO_ANSWER = "OpenAI does not answer"

REFUSALS: tuple[tuple[type[GenerationError], RefusalKind, str], ...] = (
    (KeyRejected, RefusalKind.KEY_REFUSED, "OpenAI refuses our key"),
    (QuotaExhausted, RefusalKind.QUOTA_USED_UP, "OpenAI has no money left to our account"),
    (ServiceUnavailable, RefusalKind.AWAY, NO_ANSWER),
)
"""What is about us or the service. Any other answer shows that the key is taken and that the service is there."""


class Tries:
    """What a picture may still cost: every request that is lost may be paid."""

    def __init__(self, most: int, unanswered: int) -> None:
        self._most = most
        self.unanswered = unanswered

    @property
    def are_used_up(self) -> bool:
        """Whether nothing may be sent any more."""
        return self.unanswered >= self._most

    def no_more(self) -> ServiceUnavailable:
        """The end of a picture for which nothing may be sent any more."""
        error = ServiceUnavailable(f"{self.unanswered} requests were not answered", may_be_paid=True)
        error.unanswered = self.unanswered
        return error

    def may_go_on(self, error: BaseException) -> bool:
        """Count how a request ended, and say whether another one may be sent at once."""
        if isinstance(error, GenerationError):
            self.unanswered += isinstance(error, ServiceUnavailable) and error.may_be_paid
            error.unanswered = self.unanswered
        return isinstance(error, ServiceUnavailable) and not isinstance(error, NotAsked) and not self.are_used_up


class RefusalBreaker:
    """The breaker of all jobs of a process."""

    def __init__(self, dependencies: Dependencies, clock: Callable[[], float] = time.monotonic) -> None:
        self._dependencies = dependencies
        self._clock = clock
        self._next_probe = 0.0
        self._unanswered = 0
        self._lost = 0
        self._lost_at = 0.0

    async def check(self, somebody_answers: Callable[[], Awaitable[bool]]) -> None:
        """Raise NotAsked while the service is away, until `somebody_answers` says that it is back."""
        if self._lost < AWAY_AFTER:
            return
        now = self._clock()
        is_turn = now >= self._next_probe
        if is_turn:
            self._next_probe = now + PROBE_S
        if not (is_turn and await somebody_answers()):
            self._dependencies.refused(Dependency.OPENAI, NO_ANSWER, kind=RefusalKind.AWAY)
            raise NotAsked(f"{self._lost} requests in a row were lost, and nobody answers")
        self._lost = 0

    def answered(self, sent_at: float) -> None:
        """Note that a picture came for a request of that time."""
        self._unanswered = 0
        self._hear(sent_at)
        self._dependencies.answered(Dependency.OPENAI)

    def failed(self, error: GenerationError, sent_at: float) -> None:
        """Note how a request of that time failed."""
        if isinstance(error, ServiceUnavailable) and error.may_be_paid:
            self._lost += 1
            self._lost_at = self._clock()
        refusal = next(((kind, words) for of, kind, words in REFUSALS if isinstance(error, of)), None)
        if refusal is None:
            self.answered(sent_at)
            return
        if isinstance(error, ServiceUnavailable):
            self._unanswered += 1
            if self._unanswered < FEW_UNANSWERED:
                return
        else:
            self._hear(sent_at)
        kind, words = refusal
        self._dependencies.refused(Dependency.OPENAI, words, kind=kind)

    def _hear(self, sent_at: float) -> None:
        """The service has answered: that shows it to be there if the request came after the last one that was lost.

        A picture may take three minutes, so those that were asked for before an outage may come in the midst of it.
        """
        if sent_at >= self._lost_at:
            self._lost = 0
