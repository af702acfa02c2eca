"""What a producer does, for the commands that stand in for one: take a credit, open a session, push a task."""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from wearon.cli.output import CommandError
from wearon.platform import LocalPlatform
from wearon.platform.base import MAX_PICTURE_BYTES, Channel, SessionRef


def new_request_id() -> str:
    """A correlation id in the producers' form."""
    return f"req_{secrets.token_hex(12)}"


def is_url(picture: str) -> bool:
    """Whether a picture is named by URL rather than by file."""
    return picture.startswith(("http://", "https://"))


async def upload(platform: LocalPlatform, picture: str) -> str:
    """The URL of a picture: its own, or that of the file put into the local platform's folder."""
    if is_url(picture):
        return picture
    file = Path(picture)
    try:
        size = file.stat().st_size
        if size > MAX_PICTURE_BYTES:
            raise CommandError(f"{file} is larger than 10 MB")
        return await platform.add_upload(file.read_bytes(), file.suffix)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error


def task_document(ref: SessionRef, image_urls: Sequence[str], prompt: str, request_id: str) -> str:
    """The queue document, as the platform's API makes it."""
    owner = "store_id" if ref.channel is Channel.B2B else "user_id"
    task = {
        "task_id": str(uuid4()),
        "channel": ref.channel.value,
        owner: ref.owner_id,
        "session_id": ref.session_id,
        "image_urls": list(image_urls),
        "prompt": prompt,
        "request_id": request_id,
        "version": 1,
        "created_at": datetime.now(UTC).isoformat(),
    }
    return json.dumps(task)
