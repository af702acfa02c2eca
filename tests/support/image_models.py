"""An image model in one call, and one that no fleet shares."""

from collections.abc import Awaitable, Callable, Collection

from wearon.tryon.image_model import GeneratedImage, ImageModel, ImageRequest, ModelUnavailable
from wearon.tryon.openai.models import DEFAULT_MODEL


async def picture_of(model: ImageModel, request: ImageRequest) -> GeneratedImage:
    """Ask for a picture and read it, as the pipeline does."""
    return await model.read(await model.request(request))


class OneModel:
    """One model and no memory, for a client that is used by itself. `before_attempt` is awaited before each request."""

    def __init__(self, model: str = DEFAULT_MODEL, before_attempt: Callable[[], Awaitable[None]] | None = None) -> None:
        self._model = model
        self._before_attempt = before_attempt
        self._why: dict[str, str] = {}

    async def turn(self, refused: Collection[str]) -> str:
        """The model, unless it has refused."""
        if self._model in refused:
            raise ModelUnavailable(f"{self._model} cannot be used ({self._why[self._model]})")
        if self._before_attempt is not None:
            await self._before_attempt()
        return self._model

    async def refused(self, model: str, reason: str) -> None:
        """For the error's words only."""
        self._why[model] = reason

    async def answered(self, model: str) -> None:
        """Nothing is remembered."""
