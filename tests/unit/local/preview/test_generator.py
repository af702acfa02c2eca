"""The preview as an image generator, with a pose pool that does what the test says."""

import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from support.image_models import picture_of
from wearon.local.preview import PreviewModel
from wearon.pose import PoseBusy, PosePool, PoseUnavailable
from wearon.tryon.image_model import ImageRequest, RequestRefused, ServiceUnavailable

TWO = ImageRequest("prompt", [b"person", b"garment"], "request-1")


class Pool:
    """Answers with `outcomes`, one a call; the last one for ever."""

    def __init__(self, *outcomes: bytes | Exception) -> None:
        self._outcomes = list(outcomes)
        self.calls = 0

    async def run(self, function: Callable[..., Any], *args: Any, timeout: float) -> bytes:
        self.calls += 1
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def generator(pool: Pool) -> PreviewModel:
    return PreviewModel(cast("PosePool", pool), first_pause_s=0)


async def test_a_preview_says_in_the_log_that_no_model_was_asked() -> None:
    with capture_logs() as logs:
        image = await picture_of(generator(Pool(b"jpeg")), TWO)
    assert image.jpeg == b"jpeg"
    assert image.usage is None
    assert [entry["event"] for entry in logs] == ["local preview made, no image model was asked"]


@pytest.mark.parametrize("pictures", [[], [b"person"]])
async def test_without_a_garment_it_refuses_and_bothers_nobody(pictures: list[bytes]) -> None:
    pool = Pool(b"jpeg")
    with pytest.raises(RequestRefused):
        await picture_of(generator(pool), ImageRequest("prompt", pictures, "request-1"))
    assert pool.calls == 0


@pytest.mark.parametrize("error", [PoseBusy("3 pictures are waiting"), PoseUnavailable("starting")])
async def test_a_pool_that_stays_busy_or_away_is_a_service_unavailable(error: Exception) -> None:
    with pytest.raises(ServiceUnavailable, match=str(error)):
        await picture_of(generator(Pool(error)), TWO)


async def test_a_pool_that_comes_back_is_waited_for() -> None:
    image = await picture_of(generator(Pool(PoseUnavailable("starting"), PoseBusy("waiting"), b"jpeg")), TWO)
    assert image.jpeg == b"jpeg"


async def test_a_refusal_of_the_drawing_is_not_tried_again() -> None:
    pool = Pool(RequestRefused("no person found in the first picture"))
    with pytest.raises(RequestRefused, match="no person"):
        await picture_of(generator(pool), TWO)
    assert pool.calls == 1


def test_its_refusals_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(RequestRefused("no person found in the first picture")))
    assert isinstance(error, RequestRefused)
    assert error.reason == "no person found in the first picture"
