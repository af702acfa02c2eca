"""Pictures around a request: the shape of the one that is sent, and from a paid answer to a checked JPEG and its cost.

Nothing here asks for another picture.
"""

import io
from collections.abc import Awaitable, Callable

import httpx
from PIL import Image
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from wearon.metrics import Metrics
from wearon.net.fetch import FetchError
from wearon.pictures.decode import PictureError
from wearon.tryon.image_model import BadAnswer, GeneratedImage, ServiceUnavailable
from wearon.tryon.openai.answers import Answer, tokens_of, usage_of
from wearon.tryon.openai.models import PORTRAIT, Shape

URL_FETCHES = 3
"""Fetching a picture that an answer only points to costs nothing, and losing it costs a generation."""


class PaidPictures:
    """Reads answers. `fetch_url` raises FetchError, `ensure_jpeg` PictureError."""

    def __init__(
        self,
        base_url: httpx.URL,
        fetch_url: Callable[[str], Awaitable[bytes]],
        ensure_jpeg: Callable[[bytes], Awaitable[bytes]],
        metrics: Metrics,
        backoff_s: tuple[float, float],
    ) -> None:
        """`backoff_s`: upper bound of the first pause before a picture is fetched again, and of the longest."""
        self._base_url = base_url
        self._fetch_url = fetch_url
        self._ensure_jpeg = ensure_jpeg
        self._metrics = metrics
        self._backoff_s = backoff_s

    def count_price(self, answer: Answer, model: str | None) -> None:
        """Count what an answer cost when it comes: one that is read again later is not paid again."""
        for (direction, kind), count in tokens_of(answer.usage).items():
            self._metrics.openai_tokens.labels(direction, kind).inc(count)
        usage = usage_of(answer.usage, model)
        if usage is None or usage.cost_usd is None:
            self._metrics.openai_unpriced.inc()
        else:
            self._metrics.openai_dollars.inc(float(usage.cost_usd))

    async def picture_in(self, answer: Answer, model: str | None) -> GeneratedImage:
        """The picture, and what it took on that model. Raises BadAnswer, and ServiceUnavailable when it is away."""
        held = answer.data[0].b64_json
        picture = held or await self._fetch(answer.data[0].url)
        return GeneratedImage(await self._checked(picture), usage_of(answer.usage, model), bool(held), model)

    async def _fetch(self, url: str | None) -> bytes:
        if url is None:
            raise BadAnswer("the answer holds neither a picture nor a URL")
        if url.startswith("/") and not url.startswith("//"):
            url = str(self._base_url.join(url))  # SGLang's
        if not _is_theirs(url, self._base_url):
            raise BadAnswer("the answer points to a picture that is not at the service")
        first, longest = self._backoff_s
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, FetchError) and error.transient),
            stop=stop_after_attempt(URL_FETCHES),
            wait=wait_random_exponential(multiplier=first, max=longest),
            reraise=True,
        )
        try:
            return await retrying(self._fetch_url, url)
        except FetchError as error:
            reason = f"the picture that the answer points to {error.reason}"
            # What passes costs no paid picture: the answer is in the spool.
            raise (ServiceUnavailable(reason) if error.transient else BadAnswer(reason)) from None

    async def _checked(self, picture: bytes) -> bytes:
        try:
            return await self._ensure_jpeg(picture)
        except PictureError as error:
            raise BadAnswer(f"the picture {error.reason}") from error


def shape_of(jpeg: bytes) -> Shape:
    """Width and height of a prepared picture, by its head (0.1 ms); a portrait's when it cannot be read."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            return picture.size
    except OSError:
        return PORTRAIT


def _is_theirs(url: str, base_url: httpx.URL) -> bool:
    """Whether OpenAI may keep a picture there: the origin that gets our key, or over https a host of its own."""
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return False
    if target.userinfo:
        return False
    if (target.scheme, target.host, target.port) == (base_url.scheme, base_url.host, base_url.port):
        return True
    https = target.scheme == "https" and target.port is None
    return https and target.host.endswith((".openai.com", ".blob.core.windows.net"))
