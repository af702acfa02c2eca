"""What the pipeline needs from whoever makes the picture, in its own words.

Two classes speak it: `OpenAIImages` in production and the local preview. What they raise:

    GenerationError
    ├── Moderated            the pictures or the prompt were refused by the safety filter; final
    ├── RateLimited          429: wait and ask again; nothing was paid
    ├── QuotaExhausted       the account has no money left: an operator's problem, not worth a retry
    ├── KeyRejected          401 or 403: our key, an operator's problem; passes when somebody puts it right
    ├── ModelUnavailable     the model is gone, or not for our key: the next one is asked; without one, as KeyRejected
    ├── RequestRefused       any other definite no: the same request will be refused again
    ├── ServiceUnavailable   5xx, network or time-out, after every retry of the generator's own
    └── BadAnswer            it was answered, so paid, but there is no picture in it; asking again pays again
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol


class GenerationError(Exception):
    """No picture was made. `reason` is for operators: it holds no key, prompt, URL or picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    """No usable answer in time. `may_be_paid`: the request was sent, and nobody knows what became of it."""

    def __init__(self, reason: str, *, may_be_paid: bool = False) -> None:
        super().__init__(reason)
        self.may_be_paid = may_be_paid


class BadAnswer(GenerationError):
    """A paid answer without a usable picture."""


async def _keep_nothing(_answer: bytes, _model: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One picture to be made. `pictures` are prepared JPEGs: the person, the garment, then accessories.

    `keep` is awaited with a paid answer as it came and the model that gave it, before anything is done with it:
    `ImageGenerator.read` makes the picture of both again, whatever happens to this process. It must not raise.

    `owner` is whom the session belongs to. It leaves this process only as a keyed hash.
    """

    prompt: str
    pictures: Sequence[bytes]
    request_id: str
    keep: Callable[[bytes, str], Awaitable[None]] = _keep_nothing
    owner: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a picture took. `cost_usd` is None for a model whose prices we do not know."""

    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A finished picture, really a JPEG. `usage` is None when the answer did not say.

    `in_answer`: the answer that `ImageRequest.keep` was given holds the picture itself, and not only an address.
    `model` is the one that made it; None when that is not known.
    """

    jpeg: bytes
    usage: Usage | None
    in_answer: bool = field(default=False, compare=False)
    model: str | None = field(default=None, compare=False)


class ImageGenerator(Protocol):
    """Makes pictures of a person wearing something."""

    async def generate(self, request: ImageRequest) -> GeneratedImage:
        """Make one picture; raises GenerationError. The caller bounds the whole of it, waiting included."""

    async def read(self, answer: bytes, model: str | None) -> GeneratedImage:
        """The picture in an answer that was kept with its model: nothing is paid. Raises GenerationError."""

    async def aclose(self) -> None:
        """Give back connections and processes."""
