"""OpenAI's image edits over plain HTTP (the contract, section 5): one request in, one JPEG and its price out.

`wearon.tryon.openai.answers` knows what the answers mean.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx
import structlog
from opentelemetry.trace import SpanKind
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.net.service_transport import ServiceTransport
from wearon.observability.tracing import Tracing, outgoing_headers
from wearon.tryon.image_model import (
    BadAnswer,
    GeneratedImage,
    GenerationError,
    ImageRequest,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    PaidAnswer,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from wearon.tryon.openai.answers import error_of, name_like, parse_answer
from wearon.tryon.openai.breaker import RefusalBreaker, Tries
from wearon.tryon.openai.fallback import Models
from wearon.tryon.openai.models import PHOTO, PORTRAIT, Wanted, model_named
from wearon.tryon.openai.pictures import PaidPictures, shape_of
from wearon.tryon.openai.silence import SilenceWatch

log = structlog.get_logger()

ATTEMPT_TIMEOUT_S = 180.0
"""The contract's: a generation takes 10-60 s, allow 180. Counted over the whole exchange, not byte to byte."""

CONNECT_TIMEOUT_S = 10.0
"""Three SYNs (after 0, 1 and 3 s) and a TLS handshake over a bad line; more means that there is no server."""

BACKOFF_S = (1.0, 20.0)
"""Upper bound of the first pause before a retry, doubled each time, and of the longest. Each is drawn evenly from
zero up, so that a fleet that failed together does not come back together."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Twenty times a 1024x1536 PNG in base64 (3 MB): no honest answer is larger."""

MAX_ERROR_BYTES = 64 * 1024
"""Error bodies are a few hundred bytes; of a longer one this much is read."""

LAST_BYTES_S = 5.0
"""A cancelled job waits so long for the rest of an answer that has begun: it is paid."""

LOOK_S = 4.0
"""For a look whether anybody answers, which takes a tenth of a second."""

OUTCOMES: dict[type[GenerationError], str] = {
    BadAnswer: "bad_answer",
    KeyRejected: "key_rejected",
    ModelUnavailable: "model_unavailable",
    Moderated: "moderated",
    QuotaExhausted: "quota_exhausted",
    RateLimited: "rate_limited",
    RequestRefused: "refused",
    ServiceUnavailable: "unavailable",
}
"""How one request ended, for counting; besides `answered` and, for one that was cancelled, `cut_off`."""

PAID_STATUSES = {httpx.codes.OK, httpx.codes.CREATED}
"""OpenAI answers 200; some gateway may find that a picture was created."""

PAGES = {"text/html", "application/xhtml+xml"}

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What fails before a request is on its way: it cannot have been paid."""

NOT_OF_A_HEADER = re.compile(r"[^\x21-\x7e]")

CLIENT_ID_CHARACTERS = 512
"""OpenAI refuses a longer X-Client-Request-Id, and one that is not ASCII."""


class OpenAIImages:
    """Makes pictures with OpenAI's image models.

    `models` says before every request which model to ask and when, since each one counts against the account's limit;
    what it raises goes up unchanged. `fetch_url` downloads a picture when the answer holds a URL instead of the picture
    (raises FetchError). `ensure_jpeg` checks the picture and turns another format into JPEG (raises PictureError).
    `identify` makes the hash of an end user. A `client` that is handed in stays the caller's to close.

    Each request holds what its model takes of what is `wanted` (`wearon.tryon.openai.models`).

    5xx, network errors and time-outs are tried again up to `max_retries` times, with backoff. A 429 is not: the job
    queue waits it out. What may be paid is sent at most `max_retries` + 1 times in all runs of a job together. Nothing
    is asked again after a status 200, which has been paid for. `dependencies` hears of a key that is refused, of an
    empty account, and of a service that does not answer.
    """

    def __init__(
        self,
        *,
        api_key: str,
        fetch_url: Callable[[str], Awaitable[bytes]],
        ensure_jpeg: Callable[[bytes], Awaitable[bytes]],
        models: Models,
        identify: Callable[[str], str] | None = None,
        base_url: str = "https://api.openai.com/v1",
        wanted: Wanted = Wanted(),  # noqa: B008 (a frozen value)
        max_retries: int = 3,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
        client: httpx.AsyncClient | None = None,
        metrics: Metrics,
        tracing: Tracing,
        dependencies: Dependencies,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            # The HTTP library would say so too, and quote the key.
            raise ValueError("the OpenAI key holds characters that no key has")
        self._authorization = f"Bearer {api_key}"
        self._base_url = httpx.URL(base_url.rstrip("/"))
        self._wanted = wanted
        self._models = models
        self._identify = identify
        self._max_retries = max_retries
        self._attempt_timeout_s = attempt_timeout_s
        self._backoff_s = backoff_s
        self._owns_client = client is None
        self._client = client or make_client(tls)
        self._metrics = metrics
        self._pictures = PaidPictures(self._base_url, fetch_url, ensure_jpeg, self._metrics, backoff_s)
        self._tracing = tracing
        self._breaker = RefusalBreaker(dependencies)
        self._silence = SilenceWatch(self._somebody_answers, dependencies)
        self._last_model = ""

    async def request(self, request: ImageRequest) -> PaidAnswer:
        """Ask for one picture (see ImageModel); raises GenerationError.

        Each of the `max_retries` + 1 attempts may take `attempt_timeout_s`, so bound the whole.
        """
        first, longest = self._backoff_s
        tries = Tries(self._max_retries + 1, request.unanswered)
        retrying = AsyncRetrying(
            retry=retry_if_exception(tries.may_go_on),
            stop=stop_after_attempt(self._max_retries + 1),
            wait=wait_random_exponential(multiplier=first, max=longest),
            before_sleep=_log_retry,
            reraise=True,
        )
        if tries.are_used_up:
            raise tries.no_more()
        answer: PaidAnswer = await retrying(self._ask, request)
        return answer

    async def read(self, answer: PaidAnswer) -> GeneratedImage:
        """The picture in an answer, checked, and its price. Raises BadAnswer, and ServiceUnavailable."""
        if answer.details is not None and answer.model is not None:
            await self._models.answered(answer.model)
            log.info("openai answered", model=answer.model, **answer.details)
        # Off the loop: it is megabytes of base64, 1 ms of parsing and decoding, and a copy.
        found = await asyncio.to_thread(parse_answer, answer.body)
        if answer.details is not None:
            self._pictures.count_price(found, answer.model)
        return await self._pictures.picture_in(found, answer.model)

    async def aclose(self) -> None:
        """Close the connections, when they are ours."""
        self._silence.close()
        if self._owns_client:
            await self._client.aclose()

    async def _ask(self, request: ImageRequest) -> PaidAnswer:
        """One try. Raises GenerationError.

        A model that cannot be used costs nothing but the question, so the next one is asked at once.
        """
        refused: list[str] = []
        while True:
            await self._breaker.check(self._somebody_answers)
            self._last_model = model = await self._models.turn(refused)
            try:
                with self._observed(model):
                    return await self._exchanged(request, model)
            except ModelUnavailable as error:
                refused.append(model)
                await self._models.refused(model, error.reason)

    async def _somebody_answers(self) -> bool:
        """Ask for what is free: any answer will do that is the service's own."""
        url = f"{self._base_url}/models/{self._last_model}"
        try:
            async with asyncio.timeout(LOOK_S):
                answer = await self._client.get(url, headers={"Authorization": self._authorization})
        except (httpx.HTTPError, TimeoutError):
            return False
        return answer.status_code < 500 and not _is_a_page(answer, answer.content)

    @contextmanager
    def _observed(self, model: str) -> Iterator[None]:
        """Count one request, and make it a span: what the block raises says how it ended."""
        began = time.monotonic()
        outcome = "cut_off"
        attributes = {"server.address": self._base_url.host, "gen_ai.request.model": model}
        try:
            with self._tracing.span("POST /images/edits", SpanKind.CLIENT, attributes):
                yield
            outcome = "answered"
            self._breaker.answered(began)
        except GenerationError as error:
            outcome = OUTCOMES[type(error)]
            self._breaker.failed(error, began)
            raise
        finally:
            self._metrics.openai_requests.labels(outcome).inc()
            self._metrics.openai_seconds.labels(outcome).observe(time.monotonic() - began)

    async def _exchanged(self, request: ImageRequest, model: str) -> PaidAnswer:
        started, cancellations = time.monotonic(), _cancellations()
        paid = False
        try:
            async with asyncio.timeout(self._attempt_timeout_s), self._exchange(request, model) as response:
                paid = response.status_code in PAID_STATUSES
                receiving = _read(response, MAX_ANSWER_BYTES if paid else MAX_ERROR_BYTES)
                body = await (_to_its_end(receiving) if paid else receiving)
        except TimeoutError:
            raise _lost(f"no whole answer within {self._attempt_timeout_s:g} s", paid=paid) from None
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            # Not chained: their text quotes the header that is wrong.
            raise RequestRefused(f"the request cannot be sent ({type(error).__name__})") from None
        except NEVER_SENT as error:
            raise ServiceUnavailable(f"{type(error).__name__}: {error}") from None
        except httpx.NetworkError as error:
            raise _lost(f"{type(error).__name__}: {error}", paid=paid) from None
        except httpx.RequestError as error:
            raise _lost(type(error).__name__, paid=paid) from None
        if not paid:
            raise error_of(response.status_code, response.headers, body, model)
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        if _is_a_page(response, body):
            raise ServiceUnavailable("a gateway's page instead of an answer")
        details = {
            "seconds": round(time.monotonic() - started, 2),
            "openai_request": name_like(response.headers.get("x-request-id")),
        }
        return PaidAnswer(body, model, details, cancelled=_cancellations() > cancellations)

    @asynccontextmanager
    async def _exchange(self, request: ImageRequest, model: str) -> AsyncIterator[httpx.Response]:
        """POST the form. The body is streamed from the pictures, never in memory as a whole."""
        # What the model can name in the prompt: the person is model.jpg, the others image_1.jpg, image_2.jpg...
        names = ["model.jpg", *(f"image_{number}.jpg" for number in range(1, len(request.pictures)))]
        form = self._client.build_request(
            "POST",
            f"{self._base_url}/images/edits",
            headers={
                **outgoing_headers(),
                "Authorization": self._authorization,
                "X-Client-Request-Id": _client_id(request.request_id),
                # Base64 of a JPEG hardly shrinks: compression would only cost both sides CPU.
                "Accept-Encoding": "identity",
            },
            data=self._fields(request, model),
            files=[
                ("image[]", (name, picture, "image/jpeg"))
                for name, picture in zip(names, request.pictures, strict=True)
            ],
        )
        with self._silence.waiting():
            response = await self._client.send(form, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()

    def _fields(self, request: ImageRequest, name: str) -> dict[str, str]:
        model = model_named(name)
        # A lone surrogate, half of a character that was cut in two, has no UTF-8.
        prompt = request.prompt.encode("utf-8", "replace").decode()
        shape = shape_of(request.pictures[0]) if self._wanted.size == PHOTO else PORTRAIT
        fields = {**model.fields(self._wanted, shape), "prompt": prompt}
        if self._identify is not None and request.owner and model.takes_safety_identifier:
            fields["safety_identifier"] = self._identify(request.owner)
        return fields


def make_client(tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client fit for many slow requests to one host."""
    keep_alive = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if hasattr(socket, "TCP_KEEPIDLE"):
        # Nothing is sent for up to a minute while a picture is made; NAT tables forget silent connections sooner.
        keep_alive += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        ]
    return httpx.AsyncClient(
        # Every running job (WORKER_CONCURRENCY is at most 1000) may wait for its answer at the same time. Idle
        # connections go after 30 s, before the other side closes them under a request.
        transport=ServiceTransport(max_connections=1000, keep_alive_s=30.0, socket_options=keep_alive, tls=tls),
        # Attempts have a time-out of their own; this one finds a host that is not there.
        timeout=httpx.Timeout(ATTEMPT_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
    )


def _cancellations() -> int:
    """How often the present task has been asked to end; that of a time-out is taken back when its block is left."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def _to_its_end(receiving: Coroutine[Any, Any, bytes]) -> bytes:
    """What is received, also when a cancellation comes meanwhile, though that does not wait for ever."""
    task = asyncio.create_task(receiving)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        until = time.monotonic() + LAST_BYTES_S
        while not task.done() and (left_s := until - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):  # a worker that stops cancels its jobs again and again
                await asyncio.wait({task}, timeout=left_s)
        if not task.done() or task.exception() is not None:
            raise
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body; of one that is longer than `limit` bytes, a little more than that. `ServiceTransport` unpacks it."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _is_a_page(response: httpx.Response, body: bytes) -> bool:
    """Whether this is a page for people, by what stands before the service, and too small to hold a picture."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in PAGES and len(body) <= MAX_ERROR_BYTES and body.lstrip().startswith(b"<")


def _lost(reason: str, *, paid: bool) -> GenerationError:
    if paid:
        return BadAnswer(f"the answer broke off: {reason}")
    return ServiceUnavailable(reason, may_be_paid=True)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "openai unavailable, trying again",
        attempt=state.attempt_number,
        pause_s=round(state.upcoming_sleep, 2),
        reason=getattr(error, "reason", None),
    )


def _client_id(request_id: str) -> str:
    return NOT_OF_A_HEADER.sub("_", request_id[:CLIENT_ID_CHARACTERS])
