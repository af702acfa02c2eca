"""Both platforms: results are kept, replaced, found and opened for six hours."""

from uuid import uuid4

import pytest

from support.shop import Shop
from wearon.platform.base import MAX_PICTURE_BYTES, PICTURE_URL_SECONDS, Channel, PlatformRefused, SessionRef

JPEG = b"\xff\xd8\xff\xe0 a picture, near enough \r\n--boundary--\r\n\xff\xd9"


def new_ref(channel: Channel) -> SessionRef:
    """A session that nobody has heard of: pictures do not ask."""
    return SessionRef(channel, str(uuid4()), str(uuid4()))


async def test_a_stored_picture_is_found_and_opened(shop: Shop, channel: Channel) -> None:
    ref = new_ref(channel)
    assert not await shop.platform.has_picture(ref)

    await shop.platform.store_picture(ref, JPEG)

    assert await shop.platform.has_picture(ref)
    assert not await shop.platform.has_picture(SessionRef(channel, ref.owner_id, str(uuid4())))
    url = await shop.platform.sign_picture(ref)
    assert shop.open(url) == JPEG


async def test_a_second_attempt_replaces_the_picture(shop: Shop) -> None:
    ref = new_ref(Channel.B2C)

    await shop.platform.store_picture(ref, b"\xff\xd8\xff first")
    await shop.platform.store_picture(ref, JPEG)

    assert shop.open(await shop.platform.sign_picture(ref)) == JPEG


async def test_a_signed_url_lives_for_six_hours(shop: Shop) -> None:
    ref = new_ref(Channel.B2B)
    await shop.platform.store_picture(ref, JPEG)
    url = await shop.platform.sign_picture(ref)

    shop.let_pass(PICTURE_URL_SECONDS - 60)
    assert shop.open(url) == JPEG
    shop.let_pass(120)
    assert shop.open(url) is None


async def test_a_signed_url_opens_nothing_but_its_own_picture(shop: Shop) -> None:
    mine, other = new_ref(Channel.B2C), new_ref(Channel.B2C)
    for ref in (mine, other):
        await shop.platform.store_picture(ref, JPEG)
    url = await shop.platform.sign_picture(mine)

    assert shop.open(url.replace(mine.session_id, other.session_id)) is None
    assert shop.open(url[:-1] + ("A" if url[-1] != "A" else "B")) is None


async def test_a_picture_that_is_not_there_is_not_signed(shop: Shop) -> None:
    with pytest.raises(PlatformRefused):
        await shop.platform.sign_picture(new_ref(Channel.B2C))


async def test_a_picture_over_the_buckets_limit_is_refused(shop: Shop) -> None:
    ref = new_ref(Channel.B2C)

    with pytest.raises(PlatformRefused):
        await shop.platform.store_picture(ref, bytes(MAX_PICTURE_BYTES + 1))

    assert not await shop.platform.has_picture(ref)
    await shop.platform.store_picture(ref, bytes(MAX_PICTURE_BYTES))
