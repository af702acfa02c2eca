"""From URLs to prepared pictures, with a downloader that answers from a script."""

import asyncio
import gc
import time
from collections import Counter

import pytest

from support.job_side import (
    GUARD_S,
    ScriptedFetcher,
    new_input_images,
)
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.net.errors import FetchError
from wearon.pictures.decode import PictureError
from wearon.tryon import input_images as photos
from wearon.tryon.input_images import InputImageError

RESET = FetchError("the transfer broke off", transient=True)
GONE = FetchError("answered 404", transient=False)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "PAUSE_S", (0.0, 0.0))


async def prepare(data: bytes) -> bytes:
    if data == b"not a picture":
        raise PictureError("not a picture")
    return b"prepared " + data


async def test_pictures_come_prepared_and_in_the_order_of_their_urls() -> None:
    fetcher = ScriptedFetcher({"person": [b"p"], "garment": [b"g"], "hat": [b"h"]})
    assert await new_input_images(fetcher, prepare).prepared(["person", "garment", "hat"]) == [
        b"prepared p",
        b"prepared g",
        b"prepared h",
    ]


class Noting:
    """`prepare`, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, data: bytes) -> bytes:
        self.asked.append(data)
        return await prepare(data)


async def test_a_garment_is_prepared_once_and_a_person_for_each_job() -> None:
    noting, metrics = Noting(), Metrics()
    fetcher = ScriptedFetcher({"person": [b"p"], "garment": [b"g"], "hat": [b"h"]})
    photos = new_input_images(fetcher, noting, metrics)
    for _ in range(3):
        assert await photos.prepared(["person", "garment", "hat"]) == [b"prepared p", b"prepared g", b"prepared h"]
    assert sorted(noting.asked) == [b"g", b"h", b"p", b"p", b"p"]
    assert len(fetcher.asked) == 9  # whether it is still the same one, only its owner knows
    assert metrics.registry.get_sample_value("wearon_garments_total", {"outcome": "found"}) == 4


async def test_a_url_whose_picture_has_changed_is_another_garment() -> None:
    photos = new_input_images(ScriptedFetcher({"person": [b"p"], "garment": [b"red", b"blue"]}), prepare)
    assert await photos.prepared(["person", "garment"]) == [b"prepared p", b"prepared red"]
    assert await photos.prepared(["person", "garment"]) == [b"prepared p", b"prepared blue"]


@pytest.mark.parametrize("urls", [["person"], ["person", "garment"], ["person", "person", "person"]])
async def test_nothing_of_a_person_is_left_when_the_job_has_ended(urls: list[str]) -> None:
    left: Counter[str] = Counter()

    class Prepared(bytes):
        def __init__(self, _: bytes) -> None:
            left[self.decode()] += 1

        def __del__(self) -> None:
            left[self.decode()] -= 1

    async def prepare_watched(data: bytes) -> bytes:
        return Prepared(data)

    photos = new_input_images(ScriptedFetcher({"person": [b"person"], "garment": [b"garment"]}), prepare_watched)
    assert len(await photos.prepared(urls)) == len(urls)
    gc.collect()
    assert left["person"] == 0
    assert left["garment"] == urls.count("garment")
    del photos


async def test_pictures_are_fetched_side_by_side() -> None:
    everybody_is_here = asyncio.Barrier(3)

    class Meeting(ScriptedFetcher):
        async def fetch(self, url: str, *, deadline_s: float) -> bytes:
            await everybody_is_here.wait()
            return b""

    async with asyncio.timeout(GUARD_S):
        await new_input_images(Meeting({}), prepare).prepared(["1", "2", "3"])


async def test_no_more_is_fetched_than_can_soon_be_prepared() -> None:
    preparing = asyncio.Event()
    fetcher = ScriptedFetcher({str(number): [b"x"] for number in range(40)})

    async def prepare_when_told(data: bytes) -> bytes:
        await preparing.wait()
        return data

    work = asyncio.create_task(
        new_input_images(fetcher, prepare_when_told).prepared([str(number) for number in range(40)])
    )
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(fetcher.asked) == photos.MOST_HELD
    preparing.set()
    async with asyncio.timeout(GUARD_S):
        assert len(await work) == 40


async def test_the_same_url_twice_is_two_pictures() -> None:
    assert len(await new_input_images(ScriptedFetcher({"same": [b"x"]}), prepare).prepared(["same", "same"])) == 2


async def test_what_is_gone_a_moment_later_is_not_an_error() -> None:
    fetcher = ScriptedFetcher({"person": [RESET, RESET, b"p"]})
    assert await new_input_images(fetcher, prepare).prepared(["person"]) == [b"prepared p"]


async def test_after_the_third_try_it_is() -> None:
    fetcher = ScriptedFetcher({"person": [RESET, RESET, RESET, b"too late"]})
    with pytest.raises(InputImageError, match="person: the transfer broke off"):
        await new_input_images(fetcher, prepare).prepared(["person"])
    assert len(fetcher.asked) == 3


async def test_all_tries_together_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    given = []

    class Slow(ScriptedFetcher):
        async def fetch(self, url: str, *, deadline_s: float) -> bytes:
            nonlocal now
            given.append(deadline_s)
            now += min(20.0, deadline_s)
            raise RESET

    with pytest.raises(InputImageError, match="person: the transfer broke off"):
        await new_input_images(Slow({}), prepare).prepared(["person"])
    assert given == [30.0, 10.0]


async def test_a_definite_no_is_not_asked_again() -> None:
    fetcher = ScriptedFetcher({"person": [GONE]}, trusted=["person"])
    with pytest.raises(InputImageError, match="person: answered 404") as failure:
        await new_input_images(fetcher, prepare).prepared(["person"])
    assert len(fetcher.asked) == 1
    assert not failure.value.again_later


@pytest.mark.parametrize(("trusted", "again_later"), [(["person"], True), ([], False)])
async def test_only_our_own_storage_is_worth_coming_back_for(trusted: list[str], again_later: bool) -> None:
    with pytest.raises(InputImageError) as failure:
        await new_input_images(ScriptedFetcher({"person": [RESET]}, trusted), prepare).prepared(["person"])
    assert failure.value.again_later is again_later


async def test_a_storage_that_gives_no_pictures_is_named_until_it_does() -> None:
    dependencies = Dependencies()
    fetcher = ScriptedFetcher({"person": [RESET] * 3 + [b"fine"]}, trusted=["person"])
    images = new_input_images(fetcher, prepare, dependencies=dependencies)
    with pytest.raises(InputImageError):
        await images.prepared(["person"])
    assert [(one.dependency, one.kind) for one in dependencies.refusals] == [("supabase", "storage_away")]
    await images.prepared(["person"])
    assert dependencies.refusals == []


@pytest.mark.parametrize(("stored", "again_later"), [(["person"], True), ([], False)])
async def test_a_gateway_before_our_own_storage_is_worth_coming_back_for(stored: list[str], again_later: bool) -> None:
    page = FetchError("its content type is not image/*", transient=False, says_nothing=True)
    fetcher = ScriptedFetcher({"person": [page]}, trusted=["person"])
    with pytest.raises(InputImageError) as failure:
        await new_input_images(fetcher, prepare, is_stored=lambda url: url in stored).prepared(["person"])
    assert failure.value.again_later is again_later
    assert len(fetcher.asked) == 1


@pytest.mark.parametrize(("place", "role"), list(enumerate(["person", "garment", "accessory 1", "accessory 2"])))
async def test_the_operator_reads_which_picture_it_was(place: int, role: str) -> None:
    fetcher = ScriptedFetcher({str(number): [b"fine"] for number in range(4)} | {str(place): [b"not a picture"]})
    with pytest.raises(InputImageError) as failure:
        await new_input_images(fetcher, prepare).prepared(["0", "1", "2", "3"])
    assert str(failure.value) == f"{role}: not a picture"
    assert not failure.value.again_later


async def test_one_that_fails_stops_the_others() -> None:
    stopped = asyncio.Event()

    class Slow(ScriptedFetcher):
        async def fetch(self, url: str, *, deadline_s: float) -> bytes:
            if url == "person":
                raise GONE
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                stopped.set()
            raise AssertionError

    with pytest.raises(InputImageError, match="person"):
        await new_input_images(Slow({}), prepare).prepared(["person", "garment"])
    assert stopped.is_set()


async def test_a_bug_is_not_dressed_up_as_a_bad_picture() -> None:
    async def broken(data: bytes) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await new_input_images(ScriptedFetcher({"person": [b"p"]}), broken).prepared(["person"])


async def test_cancelled_while_fetching_it_is_cancelled() -> None:
    class Hanging(ScriptedFetcher):
        async def fetch(self, url: str, *, deadline_s: float) -> bytes:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    task = asyncio.create_task(new_input_images(Hanging({}), prepare).prepared(["person"]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
