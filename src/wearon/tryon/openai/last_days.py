"""The last days of the image models in use, asked at start and once a day: OpenAI announces them months before.

`GET /models/{id}` is free and makes nothing. A server that does not know that path, or does not say, is no error: what
the table of `wearon.tryon.openai.models` knows counts then.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from urllib.parse import quote

import httpx
import structlog

from wearon.metrics import Metrics
from wearon.tryon.openai.models import model_named

log = structlog.get_logger()

EVERY_S = 24 * 3600.0

AGAIN_S = 3600.0
"""After a look at which the server did not answer."""

ANSWER_S = 15.0
"""A look-up takes a fraction of a second."""

MAX_ANSWER_BYTES = 64 * 1024
"""An honest answer has 200."""

SOON_DAYS = 60
"""Time enough to try another model; OpenAI announces a last day at least so long before."""


def announced_last_day(body: bytes) -> date | None:
    """What the answer to a look-up says (`shutdown_date`); None when it names no day."""
    try:
        answer = json.loads(body)
        return date.fromisoformat(answer["shutdown_date"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def last_day(model: str, body: bytes = b"") -> date | None:
    """A model's last day, by the server's answer or else by the table; None: none is announced."""
    return announced_last_day(body) or model_named(model).last_day


def days_left(day: date, today: date | None = None) -> int:
    """Days until the model is gone; zero or less: it is gone. OpenAI's days are UTC."""
    return (day - (today or datetime.now(UTC).date())).days


def tell_last_day(model: str, day: date, today: date | None = None) -> str | None:
    """One clause for operators when the day is near, else None."""
    left = days_left(day, today)
    if left > SOON_DAYS:
        return None
    if left <= 0:
        return f"{model} was shut down on {day}"
    return f"{model} is shut down on {day}, in {left} day{'s' if left > 1 else ''}"


class LastDays:
    """Keeps `known` up to date. The client stays the caller's to close."""

    def __init__(
        self, models: Sequence[str], base_url: str, api_key: str, client: httpx.AsyncClient, metrics: Metrics
    ) -> None:
        self._models = models
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"}
        self._client = client
        self._metrics = metrics
        self.known: dict[str, date | None] = {}
        """The last day of each model, in the order of the models; None: none is announced."""
        for model in models:
            self._learn(model, last_day(model))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            everything_answered = await self.look()
            await asyncio.sleep(EVERY_S if everything_answered else AGAIN_S)

    async def look(self) -> bool:
        """Ask for every model; False when the server did not answer. Never raises."""
        answers = [await self._ask(model) for model in self._models]
        for model in self._models:
            day = self.known[model]
            if day is not None and (words := tell_last_day(model, day)):
                log.warning(
                    "the last day of an image model is near", model=model, last_day=day.isoformat(), words=words
                )
        return all(answers)

    async def _ask(self, model: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                status, body = await self._answer(model)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            log.info("image model not looked up", model=model, reason=type(error).__name__)
            return False
        if status == httpx.codes.OK:
            self._learn(model, last_day(model, body))
        else:
            log.info("image model not looked up", model=model, status=status)
        return status < 500

    async def _answer(self, model: str) -> tuple[int, bytes]:
        url = f"{self._base_url}/models/{quote(model, safe='/:@')}"
        body = bytearray()
        async with self._client.stream("GET", url, headers=self._headers, follow_redirects=False) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
            return response.status_code, bytes(body)

    def _learn(self, model: str, day: date | None) -> None:
        if day is not None:
            midnight = datetime.combine(day, time(tzinfo=UTC))
            self._metrics.image_model_shutdown.labels(model).set(midnight.timestamp())
        elif self.known.get(model) is not None:
            self._metrics.image_model_shutdown.remove(model)  # taken back
        self.known[model] = day
