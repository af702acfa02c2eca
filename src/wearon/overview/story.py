"""The story of one session: what was done for it, how it ended, and where the credit is."""

from collections.abc import Sequence
from uuid import UUID

from redis.asyncio import Redis

from wearon.overview.models import RefundState, RefundStory, SessionStory, SessionSummary
from wearon.platform.base import Channel, Platform, Session


class Stories:
    """Puts stories together from the platform and Redis."""

    def __init__(self, redis: Redis, platform: Platform) -> None:
        self._redis = redis
        self._platform = platform

    async def find(self, term: str) -> Sequence[SessionSummary]:
        """See Overview."""
        session = await self._session(term)
        return [] if session is None else [_summary(session)]

    async def tell(self, session_id: str) -> SessionStory | None:
        """See Overview."""
        session = await self._session(session_id)
        if session is None:
            return None
        return SessionStory(
            session=_summary(session),
            credits_used=session.credits_used,
            where=session.status.value,
            refund=RefundStory(state=RefundState.NOT_OWED, sentence=""),
        )

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        """See Overview."""
        session = await self._session(session_id)
        if session is None or name != "result" or not await self._platform.has_picture(session.ref):
            return None
        return await self._platform.sign_picture(session.ref)

    async def _session(self, session_id: str) -> Session | None:
        try:
            canonical = str(UUID(session_id))
        except ValueError:
            return None
        for channel in Channel:
            if (session := await self._platform.find_session(channel, canonical)) is not None:
                return session
        return None


def _summary(session: Session) -> SessionSummary:
    return SessionSummary(
        session_id=session.ref.session_id,
        channel=session.ref.channel.value,
        owner_id=session.ref.owner_id,
        request_id=session.request_id,
        status=session.status.value,
        created_at=session.created_at,
        completed_at=session.completed_at,
        error_message=session.error_message,
    )
