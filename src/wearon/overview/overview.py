"""The one thing that console and command line ask."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from wearon.overview.models import Now, SessionStory, SessionSummary
from wearon.overview.now import Present
from wearon.overview.story import Stories
from wearon.tryon.progress import Progress


class Overview:
    """Reads Redis and the platform; raises redis errors and PlatformError when they are away (but for `now`)."""

    def __init__(self, present: Present, stories: Stories, progress: Progress | None = None) -> None:
        """`progress` is this process's; None for a command line, which does nothing itself."""
        self._present = present
        self._stories = stories
        self._progress = progress

    async def now(self) -> Now:
        """The fleet at this moment; never fails because Redis is away."""
        return await self._present.now()

    async def find_sessions(self, term: str) -> Sequence[SessionSummary]:
        """Sessions whose session, request, user or store id is `term`, newest first, at most 50."""
        return await self._stories.find(term)

    async def story(self, session_id: str) -> SessionStory | None:
        """All that is known of one session; None: there is none."""
        return await self._stories.tell(session_id)

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        """A short-lived URL of one of the story's pictures; None when it cannot be had."""
        return await self._stories.sign_picture(session_id, name)

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return when this process's own state has changed, or after the time-out: what the live view waits on."""
        if self._progress is None:
            await asyncio.sleep(timeout_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._progress.wait_for_change()
