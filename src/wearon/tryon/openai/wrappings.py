"""Finds the picture in a paid answer that is not written as OpenAI writes it.

What is paid is not thrown away for its wrapping. Seen or documented: base64 in lines, in the alphabet for URLs or
without padding; a data URI, as `b64_json` or as `url`; `images` for `data`, an object for the list, a bare text for the
object; a picture that is not the first entry; the picture itself, without JSON around it. All of it runs on the slow
path only, off the event loop, and takes time in proportion to the answer.
"""

import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

MAX_DEPTH = 6
"""Objects and lists around a picture; two is usual."""

MOST_ENTRIES = 16
"""Of a list: we ask for one picture."""

PICTURE_NAMES = ("b64_json", "b64", "base64", "image_base64", "image_b64")
URL_NAMES = ("url", "image_url", "uri")
CONTAINER_NAMES = ("data", "images", "image", "output", "outputs", "result", "results", "artifacts", "response")
"""Where a picture, an address of one, or more of the answer may stand."""

MAX_URL_CHARACTERS = 8192
"""Signed ones have some hundred."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A picture, or where it is; and the answer's own word on what it took."""

    picture: bytes | None
    url: str | None
    usage: object = None


def unwrap(body: bytes) -> Unwrapped | None:
    """What the answer holds; None when there is neither a picture nor an address."""
    if _is_picture(body):
        return Unwrapped(body, None)
    answer = _json_in(body)
    url = None
    for text, name in _texts(answer):
        picture = _decode(text, certain=name in PICTURE_NAMES)
        if picture:
            return Unwrapped(picture, None, _usage_of(answer))
        if url is None and name in URL_NAMES and 0 < len(text) <= MAX_URL_CHARACTERS:
            url = text.strip()
    return None if url is None else Unwrapped(None, url, _usage_of(answer))


def _json_in(body: bytes) -> object:
    """The first object or list in the answer: a byte-order mark or `data:` of an event stream may stand before it."""
    text = body.decode("utf-8", "replace")
    starts = [start for start in (text.find("{"), text.find("[")) if start >= 0]
    try:
        return json.JSONDecoder().raw_decode(text, min(starts, default=0))[0]
    except (ValueError, RecursionError):
        return None


def _texts(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Texts that may be a picture or its address, each with its name, the likeliest first."""
    if depth > MAX_DEPTH:
        return
    match value:
        case str():
            yield value, name
        case list():
            for item in value[:MOST_ENTRIES]:
                yield from _texts(item, name, depth + 1)
        case dict():
            for inner in (*PICTURE_NAMES, *URL_NAMES, *CONTAINER_NAMES):
                if inner in value:
                    yield from _texts(value[inner], inner, depth + 1)


def _decode(text: str, *, certain: bool) -> bytes | None:
    """The bytes in a text of base64. Unless it stands where a picture must (`certain`), they must look like one."""
    text = text.strip()
    if text[:5].lower() == "data:":
        text = unquote(text.partition(",")[2])
    # Line ends may have been escaped twice.
    text = "".join(text.replace("\\n", "").replace("\\r", "").split())
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        picture = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return None
    return picture if certain or _is_picture(picture) else None


def _is_picture(data: bytes) -> bool:
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _usage_of(answer: object) -> object:
    return answer.get("usage") if isinstance(answer, dict) else None
