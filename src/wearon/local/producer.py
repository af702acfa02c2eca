"""A producer for local mode: it keeps pictures, takes a credit and pushes a task."""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from wearon.local.platform import LocalPlatform
from wearon.pictures.decode import PictureError, prepare
from wearon.platform.base import Channel, Session, SessionRef
from wearon.pose import Detector
from wearon.processes.answers import raises
from wearon.queue import keys


def new_request_id() -> str:
    """A correlation id in the producers' form."""
    return f"req_{secrets.token_hex(12)}"


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


@raises(PictureError)
def prepare_upload(_detector: Detector, picture: bytes) -> bytes:
    """An upload as it is kept: see `wearon.pictures.decode.prepare`. Runs in a pose process, off the event loop."""
    return prepare(picture)


class LocalProducer:
    """The platform's API of local mode."""

    def __init__(self, platform: LocalPlatform, redis: Redis) -> None:
        self._platform = platform
        self._redis = redis

    async def keep_picture(self, jpeg: bytes) -> str:
        """Keep an input picture; its signed URL. Raises PlatformError."""
        return await self._platform.add_upload(jpeg, ".jpg")

    async def order(self, image_urls: Sequence[str], prompt: str = "") -> Session:
        """Take a demo user's credit, open a session and push its task. Raises PlatformError and redis errors."""
        await self._redis.ping()  # before a credit is taken
        request_id = new_request_id()
        session = await self._platform.create_session(Channel.B2C, request_id=request_id)
        await self._redis.lpush(keys.TASKS, task_document(session.ref, image_urls, prompt, request_id))
        return session
