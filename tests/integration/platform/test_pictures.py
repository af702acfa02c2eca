"""Both platforms: results are kept, replaced, found and opened for six hours."""

from uuid import uuid4

import pytest

from support.platform_side import PlatformSide
from wearon.platform.base import (
    LOOK_URL_SECONDS,
    MAX_PICTURE_BYTES,
    PICTURE_URL_SECONDS,
    Channel,
    PlatformRefused,
    SessionRef,
)

JPEG = b"\xff\xd8\xff\xe0 a picture, near enough \r\n--boundary--\r\n\xff\xd9"


def new_ref(channel: Channel) -> SessionRef:
    """A session that nobody has heard of: pictures do not ask."""
    return SessionRef(channel, str(uuid4()), str(uuid4()))


async def test_a_stored_picture_is_found_and_opened(side: PlatformSide, channel: Channel) -> None:
    ref = new_ref(channel)
    assert not await side.platform.has_picture(ref)

    await side.platform.store_picture(ref, JPEG)

    assert await side.platform.has_picture(ref)
    assert not await side.platform.has_picture(SessionRef(channel, ref.owner_id, str(uuid4())))
    url = await side.platform.sign_picture(ref)
    assert side.open(url) == JPEG


async def test_a_second_attempt_replaces_the_picture(side: PlatformSide) -> None:
    ref = new_ref(Channel.B2C)

    await side.platform.store_picture(ref, b"\xff\xd8\xff first")
    await side.platform.store_picture(ref, JPEG)

    assert side.open(await side.platform.sign_picture(ref)) == JPEG


async def test_a_signed_url_lives_for_six_hours(side: PlatformSide) -> None:
    ref = new_ref(Channel.B2B)
    await side.platform.store_picture(ref, JPEG)
    url = await side.platform.sign_picture(ref)

    side.let_pass(PICTURE_URL_SECONDS - 60)
    assert side.open(url) == JPEG
    side.let_pass(120)
    assert side.open(url) is None


async def test_a_signed_url_opens_nothing_but_its_own_picture(side: PlatformSide) -> None:
    mine, other = new_ref(Channel.B2C), new_ref(Channel.B2C)
    for ref in (mine, other):
        await side.platform.store_picture(ref, JPEG)
    url = await side.platform.sign_picture(mine)

    assert side.open(url.replace(mine.session_id, other.session_id)) is None
    assert side.open(url[:-1] + ("A" if url[-1] != "A" else "B")) is None


async def test_a_picture_that_is_not_there_is_not_signed(side: PlatformSide) -> None:
    with pytest.raises(PlatformRefused):
        await side.platform.sign_picture(new_ref(Channel.B2C))


async def test_a_picture_over_the_buckets_limit_is_refused(side: PlatformSide) -> None:
    ref = new_ref(Channel.B2C)

    with pytest.raises(PlatformRefused):
        await side.platform.store_picture(ref, bytes(MAX_PICTURE_BYTES + 1))

    assert not await side.platform.has_picture(ref)
    await side.platform.store_picture(ref, bytes(MAX_PICTURE_BYTES))


async def test_what_lies_in_storage_is_signed_for_a_short_look(side: PlatformSide) -> None:
    ref = new_ref(Channel.B2C)
    assert await side.platform.sign_for_a_look(ref.picture_path) is None
    await side.platform.store_picture(ref, JPEG)

    url = await side.platform.sign_for_a_look(ref.picture_path)

    assert url is not None
    assert side.open(url) == JPEG
    side.let_pass(LOOK_URL_SECONDS + 1)
    assert side.open(url) is None


async def test_a_stored_pictures_url_is_known_again_without_its_token(side: PlatformSide, channel: Channel) -> None:
    ref = new_ref(channel)
    await side.platform.store_picture(ref, JPEG)
    url = await side.platform.sign_picture(ref)
    assert side.platform.stored_path(url) == ref.picture_path
    assert side.platform.stored_path(url.partition("?")[0]) == ref.picture_path


async def test_a_foreign_url_points_nowhere_into_storage(side: PlatformSide) -> None:
    ref = new_ref(Channel.B2C)
    await side.platform.store_picture(ref, JPEG)
    url = await side.platform.sign_picture(ref)
    origin, _, rest = url.partition("://")[2].partition("/")
    for other in (
        f"http://elsewhere.example/{rest}",
        f"https://{origin}/{rest}",
        f"http://{origin}@elsewhere.example/{rest}",
        f"http://{origin}/elsewhere/{rest}",
        f"http://{origin}/{rest.partition('?')[0].replace('generated', '..%2f..%2f..')}",
        "http://[",
        "not a url",
        "",
    ):
        assert side.platform.stored_path(other) is None, other


@pytest.mark.parametrize(
    "path", ["", "..", "../other/x.jpg", "generated/../../x.jpg", "/generated/x.jpg", "a//b", "a\0b"]
)
async def test_no_path_leads_out_of_the_storage(side: PlatformSide, path: str) -> None:
    assert await side.platform.sign_for_a_look(path) is None
