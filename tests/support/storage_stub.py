"""Supabase Storage as the worker meets it: one private bucket with its rules, over HTTP, in memory.

Its answers have the shapes of the real service, with its habit to say 400 and to mean what stands in the body.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote
from uuid import NAMESPACE_URL, uuid5

from support.gateway import JSON, Request, Response
from support.jwt import InvalidToken, make_token, read_token

BUCKET = "virtual-tryon-images"
MAX_OBJECT_BYTES = 10 * 1024 * 1024
MOST_DELETED = 1000
MIME_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})


@dataclass(frozen=True)
class StoredObject:
    """What lies at a path."""

    content: bytes
    content_type: str
    created_at: float
    updated_at: float
    """Seconds since 1970."""

    @property
    def is_jpeg(self) -> bool:
        """Whether the bytes are those of a JPEG, whatever was declared."""
        return self.content.startswith(b"\xff\xd8\xff") and self.content.rstrip(b"\0").endswith(b"\xff\xd9")


class StorageStub:
    """`handle` serves what lies behind `/storage/v1`; `objects` is what the bucket holds, by path.

    `bucket` is what Storage tells of the bucket itself: a test may change it.
    """

    def __init__(self, service_role_key: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.clock = clock
        self.bucket = new_bucket()
        self._key = service_role_key
        self._secret = secret
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        path = unquote(request.path).removeprefix("/object/")
        if request.method in {"GET", "HEAD"} and path.startswith("sign/"):
            return self._open_signed(path.removeprefix("sign/"), request.query)
        if request.headers.get("Authorization") != f"Bearer {self._key}":
            return _error(403, "Unauthorized", "AccessDenied", "Invalid Compact JWS")
        if request.path.startswith("/bucket/"):
            found = request.path == f"/bucket/{BUCKET}" and request.method == "GET"
            return _json(self.bucket) if found else NO_BUCKET
        with self._lock:
            return self._dispatch(request, path)

    def put(self, path: str, content: bytes, content_type: str = "image/jpeg") -> str:
        """Put an object there, as a customer's upload would, and sign it: the URL's part behind `/storage/v1`."""
        self._keep(path, content, content_type)
        return self._sign(f"{BUCKET}/{path}", 3600)

    def _keep(self, name: str, content: bytes, content_type: str) -> None:
        now = self.clock()
        created_at = self.objects[name].created_at if name in self.objects else now
        self.objects[name] = StoredObject(content, content_type, created_at, now)

    def _dispatch(self, request: Request, path: str) -> Response:
        action, _, rest = path.partition("/")
        routes: dict[tuple[str, str], Callable[[], Response]] = {
            ("POST", "sign"): lambda: self._answer_sign(rest, request.body),
            ("GET", "info"): lambda: self._info(rest.removeprefix("authenticated/")),
            ("POST", "list"): lambda: self._list(rest, request.body),
            ("DELETE", BUCKET): lambda: self._delete(path, request.body),
        }
        if (request.method, action) in routes:
            return routes[request.method, action]()
        if request.method in {"POST", "PUT"}:
            return self._upload(path, request)
        if request.method in {"GET", "HEAD"}:
            return self._download(path.removeprefix("authenticated/"))
        return _error(404, "not_found", "NotFound", f"Route {request.line} not found")

    def _upload(self, path: str, request: Request) -> Response:
        bucket, _, name = path.partition("/")
        if bucket != BUCKET:
            return NO_BUCKET
        content, content_type = _file_of(request)
        upsert = request.method == "PUT" or request.headers.get("x-upsert") == "true"
        if content_type not in MIME_TYPES:
            return _error(415, "invalid_mime_type", "InvalidMimeType", f"mime type {content_type} is not supported")
        if len(content) > MAX_OBJECT_BYTES:
            return _error(413, "Payload too large", "EntityTooLarge", "The object exceeded the maximum allowed size")
        if name in self.objects and not upsert:
            return _error(409, "Duplicate", "KeyAlreadyExists", "The resource already exists")
        self._keep(name, content, content_type)
        return _json({"Key": path, "Id": name})

    def _answer_sign(self, path: str, body: bytes) -> Response:
        if problem := self._missing(path):
            return problem
        return _json({"signedURL": self._sign(path, int(json.loads(body)["expiresIn"]))})

    def _sign(self, path: str, lifetime: int) -> str:
        token = make_token({"url": path, "exp": int(self.clock()) + lifetime}, self._secret)
        return f"/object/sign/{path}?token={token}"

    def _open_signed(self, path: str, query: str) -> Response:
        try:
            claims = read_token(parse_qs(query).get("token", [""])[0], self._secret)
        except InvalidToken:
            return _error(400, "InvalidJWT", "InvalidJWT", "signature verification failed")
        if claims["url"] != path:
            return _error(400, "InvalidSignature", "InvalidSignature", "The signature does not match the path")
        if int(str(claims["exp"])) <= self.clock():
            return _error(400, "InvalidJWT", "InvalidJWT", '"exp" claim timestamp check failed')
        return self._download(path)

    def _download(self, path: str) -> Response:
        if problem := self._missing(path):
            return problem
        stored = self.objects[path.partition("/")[2]]
        return Response(200, stored.content, {"Content-Type": stored.content_type})

    def _info(self, path: str) -> Response:
        if problem := self._missing(path):
            return problem
        name = path.partition("/")[2]
        stored = self.objects[name]
        return _json({"name": name, "size": len(stored.content), "content_type": stored.content_type})

    def _list(self, bucket: str, body: bytes) -> Response:
        """One level: folders first, by name, then objects. A folder is only a part of the names of objects."""
        if bucket != BUCKET:
            return NO_BUCKET
        asked = json.loads(body)
        prefix = asked.get("prefix", "").rstrip("/")
        prefix += "/" if prefix else ""
        search = asked.get("search") or ""
        below = [name.removeprefix(prefix) for name in self.objects if name.startswith(prefix + search)]
        folders = sorted({name.partition("/")[0] for name in below if "/" in name})
        order = asked.get("sortBy") or {"column": "name", "order": "asc"}
        found = sorted(
            (_entry(name, self.objects[prefix + name]) for name in below if "/" not in name),
            key=lambda entry: str(entry[order["column"]]),
            reverse=order.get("order") == "desc",
        )
        entries = [*map(_folder_entry, folders), *found]
        offset = asked.get("offset", 0)
        return _json(entries[offset : offset + asked.get("limit", 100)])

    def _delete(self, bucket: str, body: bytes) -> Response:
        """Objects of exactly these names; what is not there, a folder's name for example, is passed over."""
        if bucket != BUCKET:
            return NO_BUCKET
        names = json.loads(body)["prefixes"]
        if len(names) > MOST_DELETED:
            return _error(400, "Error", "InvalidRequest", "body/prefixes must NOT have more than 1000 items")
        gone = [(name, self.objects.pop(name)) for name in dict.fromkeys(names) if name in self.objects]
        return _json([{"bucket_id": BUCKET, **_entry(name, stored)} for name, stored in gone])

    def _missing(self, path: str) -> Response | None:
        bucket, _, name = path.partition("/")
        if bucket != BUCKET:
            return NO_BUCKET
        return None if name in self.objects else NO_OBJECT


def new_bucket() -> dict[str, object]:
    """The bucket as Storage tells of it, with the contract's limits."""
    return {
        "id": BUCKET,
        "name": BUCKET,
        "owner": "",
        "public": False,
        "file_size_limit": MAX_OBJECT_BYTES,
        "allowed_mime_types": sorted(MIME_TYPES),
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
    }


def _entry(name: str, stored: StoredObject) -> dict[str, object]:
    """An object as listings have it."""
    return {
        "name": name,
        "id": str(uuid5(NAMESPACE_URL, name)),
        "created_at": _time(stored.created_at),
        "updated_at": _time(stored.updated_at),
        "last_accessed_at": _time(stored.created_at),
        "metadata": {"size": len(stored.content), "mimetype": stored.content_type},
    }


def _folder_entry(name: str) -> dict[str, object]:
    return dict.fromkeys(("id", "created_at", "updated_at", "last_accessed_at", "metadata")) | {"name": name}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _file_of(request: Request) -> tuple[bytes, str]:
    """The file part of a multipart upload: its bytes and its declared type."""
    boundary = request.headers.get_param("boundary")
    assert isinstance(boundary, str), "an upload that is not multipart"
    for part in request.body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            declared = [line for line in head.decode().split("\r\n") if line.lower().startswith("content-type:")]
            return content.removesuffix(b"\r\n"), declared[0].partition(":")[2].strip()
    raise AssertionError("an upload without a file")


def _json(value: object) -> Response:
    return Response(200, json.dumps(value).encode(), JSON)


def _error(status: int, error: str, code: str, message: str) -> Response:
    body = {"statusCode": str(status), "error": error, "code": code, "message": message}
    return Response(500 if status == 500 else 400, json.dumps(body).encode(), JSON)


NO_BUCKET = _error(404, "Bucket not found", "NoSuchBucket", "Bucket not found")
NO_OBJECT = _error(404, "not_found", "NoSuchKey", "Object not found")
