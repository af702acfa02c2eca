"""Whether the bucket takes what the worker stores: the contract's limits, for the worker and the doctor alike."""

from collections.abc import Mapping
from typing import Any

from wearon.platform.base import MAX_PICTURE_BYTES

BUCKET = "virtual-tryon-images"

RESULT_TYPE = "image/jpeg"


def takes_too_little(size_limit: object) -> bool:
    """Whether the bucket's `file_size_limit` (bytes; None: the project's) is below the contract's 10 MB."""
    return isinstance(size_limit, int) and size_limit < MAX_PICTURE_BYTES


def refuses_results(mime_types: object) -> bool:
    """Whether the bucket's `allowed_mime_types` (None: any) leave JPEG out."""
    return isinstance(mime_types, list) and bool(mime_types) and not {RESULT_TYPE, "image/*", "*/*"} & set(mime_types)


def why_no_result_fits(bucket: Mapping[str, Any]) -> str | None:
    """A clause for operators about a bucket that Storage has told of; None when results fit."""
    if takes_too_little(bucket.get("file_size_limit")):
        return f"Supabase's bucket {BUCKET} takes only {bucket['file_size_limit']} bytes a picture: allow it 10 MB"
    if refuses_results(bucket.get("allowed_mime_types")):
        return f"Supabase's bucket {BUCKET} refuses {RESULT_TYPE}: allow it"
    return None
