"""Which paths may be deleted: those of shoppers' pictures, letter by letter."""

import re
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.platform.base import Channel, SessionRef
from wearon.platform.picture_paths import ROOTS, ResultPath, UploadPath, is_folder, read_path

A, B = str(uuid4()), str(uuid4())

UPLOADS = (
    f"uploads/person-1764400000000-{A}.jpg",
    f"uploads/user_photo-2026-11-29T15:54:28.000Z-{A}.JPEG",
    f"stores/{B}/uploads/garment-1764400000000-{A}.webp",
    f"stores/{B}/uploads/{A}.png",
    f"stores/{B}/uploads/2026/11/person-1764400000-{A}.jpg",
)
OTHERS = (
    "",
    "uploads",
    "uploads/",
    f"uploads/{A}.jpg",
    f"uploads/person-{A}.jpg",
    f"uploads/person-1764400000000-{A}.gif",
    f"uploads/person-1764400000000-{A}.jpg\n",
    f"uploads/person-1764400000000-{A.upper()}.jpg",
    f"uploads/a/person-1764400000000-{A}.jpg",
    f"/uploads/person-1764400000000-{A}.jpg",
    f"garments/person-1764400000000-{A}.jpg",
    f"stores/{B}/garments/{A}.jpg",
    f"stores/{B}/uploads/../garments/{A}.jpg",
    f"stores/{B}/uploads//{A}.jpg",
    f"stores/{B}/uploads/1/2/3/4/{A}.jpg",
    f"stores/all/uploads/{A}.jpg",
    f"stores/{B}/uploads/summer-dress.jpg",
    f"generated/{A}/{B}.png",
    f"generated/{A}/{B}",
    f"generated/{A}/../{B}.jpg",
    f"generated/{A}/x/{B}.jpg",
    f"generated/{B}.jpg",
    f"stores/{A}/generated/{B}/{B}.jpg",
)


@pytest.mark.parametrize("channel", Channel)
def test_a_result_is_known_with_its_session(channel: Channel) -> None:
    path = SessionRef(channel, A, B).picture_path
    assert read_path(path) == ResultPath(path, channel, B)


@pytest.mark.parametrize("place", range(len(UPLOADS)))
def test_an_upload_is_known_by_the_uuid_of_its_name(place: int) -> None:
    assert read_path(UPLOADS[place]) == UploadPath(UPLOADS[place], A)


@pytest.mark.parametrize("place", range(len(OTHERS)))
def test_nothing_else_is(place: int) -> None:
    assert read_path(OTHERS[place]) is None


PARTS = st.lists(
    st.sampled_from([*ROOTS, A, B, "..", ".", "", "%2e%2e", "person-1764400000000-", ".jpg", f"{A}.jpg", "\0", "é"])
    | st.text(max_size=8),
    max_size=8,
)


@given(PARTS, st.sampled_from(["/", "", "//", "\\"]))
def test_no_path_of_other_characters_is_known_nor_walked_into(parts: list[str], between: str) -> None:
    path = between.join(parts)
    if read_path(path) is not None or is_folder(path):
        assert re.compile(r"[A-Za-z0-9_.:+/-]+").fullmatch(path)
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.split("/")[0] in ROOTS
        assert path.count("/") <= 6
