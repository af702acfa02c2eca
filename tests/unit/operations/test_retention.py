"""What a walk hands on of a hostile listing, and which uploads a document names."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from wearon.operations.retention.named import uploads_in
from wearon.operations.retention.walk import Walk
from wearon.platform.base import Listed
from wearon.platform.picture_paths import ROOTS, ResultPath, UploadPath, is_folder, read_path

NOW = datetime.now(UTC)
ONE = str(uuid4())
NAMES = st.sampled_from(
    ["..", "", *ROOTS, ONE, f"{ONE}.jpg", f"person-1764400000-{ONE}.jpg", f"{ONE}/{ONE}.jpg", f"../{ONE}.jpg", "2026"]
) | st.text(max_size=6)
ENTRIES = st.builds(Listed, NAMES, st.sampled_from([None, NOW, NOW - timedelta(days=1)]))


class HostileStorage:
    """Lists whatever a test says, in every folder."""

    def __init__(self, entries: Sequence[Listed]) -> None:
        self.entries = entries
        self.folders: list[str] = []

    async def list_folder(self, folder: str, _limit: int, _offset: int) -> Sequence[Listed]:
        self.folders.append(folder)
        return self.entries


@given(st.lists(ENTRIES, max_size=8), NAMES)
def test_a_hostile_listing_leads_nowhere_else(entries: list[Listed], start: str) -> None:
    storage: Any = HostileStorage(entries)
    taken: list[ResultPath | UploadPath] = []

    async def take(old: Sequence[ResultPath | UploadPath], *, more: bool) -> int:
        assert not more
        taken.extend(old)
        return 0

    async def look() -> str:
        return await Walk(storage, NOW - timedelta(hours=6), start, 60, 0).through(take)

    stopped_at = asyncio.run(look())
    assert stopped_at == "" or is_folder(stopped_at)
    assert all(map(is_folder, storage.folders))
    assert len(storage.folders) <= 60
    old = {entry.name for entry in entries if entry.changed_at is not None and entry.changed_at < NOW}
    for picture in taken:
        folder, _, name = picture.path.rpartition("/")
        assert read_path(picture.path) == picture
        assert folder in storage.folders
        assert name in old


@given(st.sampled_from(["jpg", "JPEG", "png", "webp"]), st.booleans(), st.integers(0, 2), st.text(max_size=20))
def test_a_document_names_an_upload_however_it_is_spelt(extension: str, upper: bool, escaped: int, prompt: str) -> None:
    url = f"https://x.example/uploads/person-1764400000000-{ONE.upper() if upper else ONE}.{extension}?token=y"
    for _ in range(escaped):
        url = quote(url, safe="")
    text = json.dumps({"image_urls": [url], "prompt": prompt, "session_id": str(uuid4())})
    assert uploads_in(text.encode()) == {ONE}
    assert uploads_in(text.replace(ONE[8], "\\u002d").encode() if not upper else text.encode()) == {ONE}
    assert uploads_in(text.replace(f".{extension}", ".txt").encode()) == set()
