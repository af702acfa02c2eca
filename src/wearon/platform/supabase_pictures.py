"""Supabase Storage, as far as the worker uses it: results are stored and signed, and the bucket is looked at before."""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
from pydantic import AwareDatetime, BaseModel, TypeAdapter

from wearon.dependencies import RefusalKind
from wearon.platform.base import (
    LOOK_URL_SECONDS,
    PICTURE_URL_SECONDS,
    BucketRefused,
    Listed,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
)
from wearon.platform.picture_paths import check_deletable
from wearon.platform.supabase_answers import MISSING_BUCKET_CODES, MISSING_OBJECT_CODES, Refusal, attempt
from wearon.platform.supabase_attempts import STORAGE, Attempts
from wearon.platform.supabase_bucket import BUCKET, why_no_result_fits

if TYPE_CHECKING:
    from storage3._async.file_api import AsyncBucketProxy
    from supabase import AsyncClient

STORAGE_SECONDS = 30.0
"""Two megabytes over a bad line, and Storage's own 20 s for its database and its object store."""

FIRST_UPLOAD_SECONDS = 10.0
"""An upload takes a second. One that is not answered by then is on a connection that has died silently more often than
on a slow one. Only a picture whose first `QUICK_UPLOADS` were lost so is given more, up to `STORAGE_SECONDS`."""

QUICK_UPLOADS = 3
"""Uploads of one picture with the short limit. They outlast half a minute of connections that died silently."""

MOST_UPLOADS_REMEMBERED = 1000
"""How many lost pictures are remembered. In a longer outage the rest get no more time."""

NOTHING_PAID_SECONDS = 15.0
"""After an upload that failed, nothing new is paid for so long: jobs whose picture is paid try again every few seconds,
and the first success ends it."""

LOOK_AT_BUCKET = "look at bucket"
BUCKET_LOOKED_AT = f"{STORAGE}: {LOOK_AT_BUCKET}"

OBJECT_PATH = re.compile(rf"/storage/v1/object/(?:(?:sign|public|authenticated)/)?{BUCKET}/(?P<path>.+)")
"""The paths by which an object of our bucket is fetched."""

PLAIN_PATH = re.compile(r"[\w!.*'() &$@=;:+,/-]{1,1024}", re.ASCII)
"""The characters that Storage allows in an object's name, but for the question mark."""


class _Entry(BaseModel):
    """An entry of a listing. A folder is only a part of the names of objects: it has no id and no times."""

    name: str
    id: str | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None

    @property
    def listed(self) -> Listed:
        if self.id is None or self.created_at is None:
            return Listed(self.name, None)
        return Listed(self.name, max(self.created_at, self.updated_at or self.created_at))


_ENTRIES = TypeAdapter(list[_Entry])


class SupabasePictures:
    """The pictures' part of `SupabasePlatform`."""

    def __init__(
        self,
        client: "AsyncClient",
        http: httpx.AsyncClient,
        url: str,
        attempts: Attempts,
        *,
        rest_seconds: float,
        storage_seconds: float,
    ) -> None:
        """Use `SupabasePlatform.connect`."""
        self._url = httpx.URL(url)
        self._client = client
        self._http = http
        self._attempts = attempts
        self._rest_seconds = rest_seconds
        self._storage_seconds = storage_seconds
        self._bucket_is_fit = False
        self._uploads_lost: dict[SessionRef, int] = {}
        self._upload_failed_at: float | None = None

    async def check_bucket(self) -> None:
        """Ask for the bucket once, and again after an upload that failed."""
        if self._upload_failed_at is not None and time.monotonic() - self._upload_failed_at < NOTHING_PAID_SECONDS:
            raise PlatformUnavailable("Storage has just failed to take a picture")
        if self._bucket_is_fit:
            return
        key = self._client.supabase_key
        try:
            async with self._attempts(LOOK_AT_BUCKET, self._rest_seconds, STORAGE):
                answer = await self._http.get(
                    f"{str(self._url).rstrip('/')}/storage/v1/bucket/{BUCKET}",
                    headers={"apikey": key, "Authorization": f"Bearer {key}"},
                )
                told = answer.json()
        except Refusal as refusal:
            if refusal.status != 404 or refusal.code in MISSING_BUCKET_CODES:
                raise
            told = None  # a Storage that does not tell of its buckets
        if isinstance(told, dict) and (why := why_no_result_fits(told)):
            self._attempts.refused(why, BUCKET_LOOKED_AT, RefusalKind.BUCKET_MISSING)
            raise PlatformRefused(why)
        self._attempts.granted(BUCKET_LOOKED_AT)
        self._bucket_is_fit = True

    async def store_picture(self, ref: SessionRef, jpeg: bytes) -> None:
        lost = self._uploads_lost.get(ref, 0)
        patience = FIRST_UPLOAD_SECONDS * max(1, lost - QUICK_UPLOADS + 2)
        seconds = min(self._storage_seconds, patience)
        try:
            async with self._attempts("store picture", seconds, STORAGE):
                await self._bucket.upload(ref.picture_path, jpeg, {"content-type": "image/jpeg", "upsert": "true"})
        except PlatformError as error:
            self._bucket_is_fit = False
            if isinstance(error, Refusal) and error.code in MISSING_BUCKET_CODES:
                raise BucketRefused(str(error)) from error  # `check_bucket` finds that, too
            if isinstance(error, PlatformUnavailable) and len(self._uploads_lost) < MOST_UPLOADS_REMEMBERED:
                self._uploads_lost[ref] = lost + 1
            self._upload_failed_at = time.monotonic()
            raise
        self._uploads_lost.pop(ref, None)
        self._upload_failed_at = None

    async def has_picture(self, ref: SessionRef) -> bool:
        try:
            async with self._attempts("look for picture", self._rest_seconds, STORAGE):
                await self._bucket.info(ref.picture_path)
        except Refusal as refusal:
            if refusal.status == 404 and refusal.code in MISSING_OBJECT_CODES:
                return False
            raise
        return True

    async def sign_picture(self, ref: SessionRef) -> str:
        async with self._attempts("sign picture", self._rest_seconds, STORAGE):
            signed = await self._bucket.create_signed_url(ref.picture_path, PICTURE_URL_SECONDS)
        url = signed["signedURL"]
        if not url or ref.picture_path not in url:
            raise PlatformUnavailable("sign picture: the answer has no URL of the picture")
        return url

    def stored_path(self, url: str) -> str | None:
        try:
            asked = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            return None
        if (asked.scheme, asked.host, asked.port) != (self._url.scheme, self._url.host, self._url.port):
            return None
        found = OBJECT_PATH.fullmatch(asked.path)
        return found["path"] if found and _is_plain(found["path"]) else None

    async def sign_for_a_look(self, path: str) -> str | None:
        if not _is_plain(path):
            return None
        try:
            async with self._attempts("sign picture", self._rest_seconds, STORAGE):
                signed = await self._bucket.create_signed_url(path, LOOK_URL_SECONDS)
        except Refusal as refusal:
            if refusal.status == 404 and refusal.code in MISSING_OBJECT_CODES:
                return None
            raise
        return signed["signedURL"] or None

    async def list_folder(self, folder: str, limit: int, offset: int = 0) -> Sequence[Listed]:
        """List a folder. `/health` hears of neither this nor `delete_pictures`, because no job waits for them."""
        async with attempt("list pictures", self._storage_seconds):
            found = await self._bucket.list(
                folder, {"limit": limit, "offset": offset, "sortBy": {"column": "updated_at", "order": "asc"}}
            )
            return [entry.listed for entry in _ENTRIES.validate_python(found)]

    async def delete_pictures(self, paths: Sequence[str]) -> int:
        check_deletable(paths)
        async with attempt("delete pictures", self._storage_seconds):
            return len(_ENTRIES.validate_python(await self._bucket.remove(list(paths))))

    @property
    def _bucket(self) -> "AsyncBucketProxy":
        return self._client.storage.from_(BUCKET)


def _is_plain(path: str) -> bool:
    """Whether a path names an object and nothing else: it must not lead out of the bucket."""
    return bool(PLAIN_PATH.fullmatch(path)) and not {"", ".", ".."} & set(path.split("/"))
