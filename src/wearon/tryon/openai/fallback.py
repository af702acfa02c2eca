"""Which image model does the work: the first of the configured ones that can be used.

OpenAI retires models every few months. One that does not exist any more, or that our key may not use, costs nothing
but the question, so the same job asks the next one at once. The fleet remembers it for ten minutes, and then asks the
first again. The script call that each request makes for the rate limit says what is remembered.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.metrics import Metrics
from wearon.queue.rate_limiter import RequestLimiter, Turn
from wearon.tryon.image_model import ModelUnavailable

log = structlog.get_logger()

ASKED = "which model makes the pictures"
"""What a refusal of a model is noted under, apart from one of the key."""


class Models(Protocol):
    """Says which model the next request asks, and when."""

    async def turn(self, refused: Collection[str]) -> str:
        """Wait for the rate limit; returns the model to ask. `refused`: those that have refused this very job.

        Raises ModelUnavailable when there is none left.
        """

    async def refused(self, model: str, reason: str) -> None:
        """The model cannot be used."""

    async def answered(self, model: str) -> None:
        """The model has made a picture. Never raises: it is paid."""


class FleetModels:
    """The configured models, the first being the one that is wanted; what cannot be used is the whole fleet's memory.

    `dependencies` is notified which model does the work instead, and why: for `/health`, console and `wearon status`.
    """

    def __init__(
        self,
        models: Sequence[str],
        limiter: RequestLimiter,
        wait: Callable[[float], Awaitable[None]],
        metrics: Metrics,
        dependencies: Dependencies,
    ) -> None:
        """`wait` is awaited before each request with the seconds until its turn."""
        self._models = tuple(dict.fromkeys(models))
        self._limiter = limiter
        self._wait = wait
        self._metrics = metrics
        self._dependencies = dependencies
        self._passed_over: dict[str, str] = {}
        metrics.image_model_pictures.labels(self._models[0], "first")
        for model in self._models[1:]:
            metrics.image_model_pictures.labels(model, "fallback")

    async def turn(self, refused: Collection[str]) -> str:
        """Wait for the rate limit; returns the model to ask. Raises ModelUnavailable and redis-py's errors."""
        left = [model for model in self._models if model not in refused]
        turn = await self._limiter.reserve_turn(left) if left else Turn(0.0)
        self._learn(turn, left)
        if turn.model is None:
            raise ModelUnavailable(f"no image model can be used ({self._why(self._models)})")
        await self._wait(turn.wait_s)
        return turn.model

    async def refused(self, model: str, reason: str) -> None:
        """The fleet passes the model over for a while. Raises redis-py's errors."""
        why = reason.partition(", openai request ")[0]  # the same words in every process
        log.error("image model cannot be used", model=model, reason=reason)
        self._passed_over[model] = why
        await self._limiter.pass_over(model, why)

    async def answered(self, model: str) -> None:
        """Note who does the work. Never raises: the picture is paid."""
        first = model == self._models[0]
        self._metrics.image_model_pictures.labels(model, "first" if first else "fallback").inc()
        if self._passed_over.pop(model, None) is not None:
            try:
                await self._limiter.take_back(model)
            except RedisError as error:
                log.warning("that an image model is back is not known to others yet", model=model, error=str(error))
        if first:
            self._dependencies.answered(Dependency.OPENAI, ASKED)

    def _learn(self, turn: Turn, asked_about: Sequence[str]) -> None:
        """Take over what the fleet knows of those models, and tell who does the work."""
        for model in asked_about:
            self._passed_over.pop(model, None)
        self._passed_over.update(turn.passed_over)
        if turn.model is None:
            self._tell(f"no image model can be used: {self._why(self._models)}", RefusalKind.NO_MODEL)
        elif turn.model != self._models[0]:
            before = self._models[: self._models.index(turn.model)]
            self._tell(f"{turn.model} makes the pictures: {self._why(before)}", RefusalKind.FALLBACK_MODEL)

    def _tell(self, words: str, kind: RefusalKind) -> None:
        self._dependencies.refused(Dependency.OPENAI, words, ASKED, kind)

    def _why(self, models: Sequence[str]) -> str:
        return "; ".join(
            f"{model} cannot be used ({self._passed_over[model]})" for model in models if model in self._passed_over
        )
