"""The one thing that console and command line ask."""

from collections.abc import Sequence
from typing import Protocol

from wearon.overview.models import Now, SessionStory, SessionSummary


class Overview(Protocol):
    """Reads Redis and the platform; raises redis errors and PlatformError when they are away (but for `now`)."""

    async def now(self) -> Now:
        """The fleet at this moment; never fails because Redis is away."""

    async def find_sessions(self, term: str) -> Sequence[SessionSummary]:
        """Sessions whose session, request, user or store id is `term`, newest first, at most 50."""

    async def story(self, session_id: str) -> SessionStory | None:
        """All that is known of one session; None: there is none."""

    async def sign_picture(self, session_id: str, name: str) -> str | None:
        """A short-lived URL of one of the story's pictures; None when it cannot be had."""

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return when this process's own state has changed, or after the time-out: what the live view waits on."""
