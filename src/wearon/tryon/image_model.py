"""An image model as the pipeline sees it: asked with `request`, and the answer is read with `read`.

There are two: `OpenAIImages` in production and the local preview. What they raise:

    GenerationError
    ├── Moderated            the pictures or the prompt were refused by the safety filter; final
    ├── RateLimited          429: wait and ask again; nothing was paid
    ├── QuotaExhausted       the account has no money left: an operator's problem; passes as KeyRejected does
    ├── KeyRejected          401 or 403: our key, an operator's problem; passes when an operator puts it right
    ├── ModelUnavailable     the model is gone, or not for our key: the next one is asked; without one, as KeyRejected
    ├── RequestRefused       any other definite no: the same request will be refused again
    ├── ServiceUnavailable   5xx, a redirect, network or time-out, after every retry of the generator's own
    │   └── NotAsked         the service is plainly away: nothing was sent
    └── BadAnswer            it was answered, so paid, but there is no picture in it; asking again pays again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol


class GenerationError(Exception):
    """No picture was made. `reason` is for operators: it holds no key, prompt, URL or picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unanswered = 0
        """Requests for this picture, earlier runs' among them, that were sent and may be paid."""


class Moderated(GenerationError):
    """The safety filter refused the pictures or the prompt."""


class RateLimited(GenerationError):
    """Too many requests. `retry_after_s` is what the service asked for, in seconds; None when it did not say."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class QuotaExhausted(GenerationError):
    """The account's quota or money is used up."""


class KeyRejected(GenerationError):
    """Our key is wrong, or not allowed to do this."""


class ModelUnavailable(GenerationError):
    """The model does not exist, or our key may not use it: nothing was paid, and another model may do the work."""


class RequestRefused(GenerationError):
    """The request is not acceptable, and will not be by sending it again."""


class ServiceUnavailable(GenerationError):
    """No usable answer in time. `may_be_paid`: the request was sent, and what became of it is not known."""

    def __init__(self, reason: str, *, may_be_paid: bool = False) -> None:
        super().__init__(reason)
        self.may_be_paid = may_be_paid


class NotAsked(ServiceUnavailable):
    """Several requests in a row were lost, and nobody answers: this one was not sent."""


class BadAnswer(GenerationError):
    """A paid answer without a usable picture."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One picture to be made. `pictures` are prepared JPEGs: the person, the garment, then accessories.

    `owner` is whom the session belongs to. It leaves this process only as a keyed hash.

    `unanswered`: requests of earlier runs that may be paid. With those of this one they are limited.
    """

    prompt: str
    pictures: Sequence[bytes]
    request_id: str
    owner: str = field(default="", repr=False)
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class PaidAnswer:
    """An image model's answer as it came: it has been paid for, and the picture can be made of it again and again.

    `model` is the one that gave it; None: an earlier version of this worker did not say.
    """

    body: bytes = field(repr=False)
    model: str | None
    details: Mapping[str, object] | None = field(default=None, compare=False)
    """What the log says of the request; None for an answer that was found in the spool."""
    cancelled: bool = field(default=False, compare=False)
    """A cancellation came while it was received: it is to be kept, and then to be heeded."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a picture took. `cost_usd` is None for a model whose prices we do not know."""

    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A finished picture, really a JPEG. `usage` is None when the answer did not say.

    `in_answer`: the answer holds the picture itself, and not only an address.
    `model` is the one that made it; None when that is not known.
    """

    jpeg: bytes
    usage: Usage | None
    in_answer: bool = field(default=False, compare=False)
    model: str | None = field(default=None, compare=False)


class ImageModel(Protocol):
    """Makes pictures of a person wearing something."""

    async def request(self, request: ImageRequest) -> PaidAnswer:
        """Ask for one picture, and return the answer as it came. Raises GenerationError.

        The caller bounds the whole of it, waiting included. A cancellation that comes while a paid answer is being
        received waits for it, and the answer is returned all the same (`PaidAnswer.cancelled`).
        """

    async def read(self, answer: PaidAnswer) -> GeneratedImage:
        """The picture in an answer; nothing is paid. Raises GenerationError."""

    async def aclose(self) -> None:
        """Release connections and processes."""
