"""Where shoppers' pictures lie in our storage: the only paths that are ever deleted, and the folders that hold them.

Names come from a listing, and others chose them: whatever does not have one of these shapes, letter by letter, is
left alone. `..`, slashes and odd characters have no place in them.

    generated/{user}/{session}.jpg               b2c results
    stores/{store}/generated/{session}.jpg       b2b results
    uploads/{type}-{time}-{uuid}.{ext}           b2c photos
    stores/{store}/uploads/.../{...uuid}.{ext}   b2b photos, at most three folders deep
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wearon.platform.base import DELETED_AT_ONCE, Channel

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
EXTENSION = r"\.(?i:jpe?g|png|webp)"
"""Parts of expressions: how the names of pictures are made up."""

_INNER = r"(?:[a-z0-9-]{1,64}/){0,3}"

ROOTS = ("uploads", "stores", "generated")
"""The folders in which the others are."""

_FOLDER = re.compile(
    rf"uploads|generated(?:/{UUID})?|stores(?:/{UUID}(?:/generated|/uploads(?:/[a-z0-9-]{{1,64}}){{0,3}})?)?"
)
_RESULT = re.compile(rf"(?:generated/{UUID}|(?P<store>stores)/{UUID}/generated)/(?P<session>{UUID})\.jpg")
_UPLOAD = re.compile(
    rf"(?:uploads/[A-Za-z][\w-]{{0,39}}-[0-9][0-9A-Za-z:.T_+-]{{5,39}}-"
    rf"|stores/{UUID}/uploads/{_INNER}(?:\w[\w.-]{{0,99}})?)(?P<upload>{UUID}){EXTENSION}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ResultPath:
    """The path of a result, and the session that it names."""

    path: str
    channel: Channel
    session_id: str


@dataclass(frozen=True, slots=True)
class UploadPath:
    """The path of a photo that a shopper has uploaded, and the uuid in its name."""

    path: str
    upload_id: str


def read_path(path: str) -> ResultPath | UploadPath | None:
    """What lies at a path of our storage; None: no picture that may be deleted."""
    if found := _RESULT.fullmatch(path):
        return ResultPath(path, Channel.B2B if found["store"] else Channel.B2C, found["session"])
    if found := _UPLOAD.fullmatch(path):
        return UploadPath(path, found["upload"])
    return None


def is_folder(path: str) -> bool:
    """Whether shoppers' pictures may lie in or below this folder."""
    return _FOLDER.fullmatch(path) is not None


def check_deletable(paths: Sequence[str]) -> None:
    """Raise ValueError unless all are paths of pictures, and no more than are deleted at once."""
    if len(paths) > DELETED_AT_ONCE or not all(map(read_path, paths)):
        raise ValueError("not the paths of shoppers' pictures")
