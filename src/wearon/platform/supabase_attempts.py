"""Each attempt at asking Supabase for something, and a report of what it refuses, for `/health`."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.platform.base import About, PlatformUnavailable
from wearon.platform.supabase_answers import Refusal, attempt

REST = "Supabase"
STORAGE = "Supabase Storage"
"""The services that `/health` names in refusals."""

SILENT_SECONDS = 5.0
"""A request that waits for its answer longer than this stands in `/health` before it is given up."""

SLOW_SECONDS = 1.0
"""A row is read or written in some 20 ms, and in 300 ms across an ocean. Uploads may take their time."""

SLOW_IN_A_ROW = 3
"""How many slow answers in a row are reported: a single one means nothing."""


class Attempts:
    """Makes attempts; what came of them goes to `reports`."""

    def __init__(self, reports: Dependencies) -> None:
        self._reports = reports
        self._slow = 0

    @asynccontextmanager
    async def __call__(
        self, action: str, seconds: float, service: str = REST, *, asked: str = "", expected: str | None = None
    ) -> AsyncIterator[None]:
        """`attempt`, with a report of what Supabase refuses.

        `asked`: the right that `action` needs, where others need the same. `expected`: a code that is no refusal.
        """
        asked = f"{service}: {asked or action}"
        began = time.monotonic()
        away = RefusalKind.STORAGE_AWAY if service == STORAGE else RefusalKind.REST_AWAY
        silent = asyncio.get_running_loop().call_later(
            SILENT_SECONDS, self.refused, f"{service} has not answered for {SILENT_SECONDS:g} s", service, away
        )
        try:
            async with attempt(action, seconds):
                yield
        except PlatformUnavailable as error:
            self.refused(f"{service} gives no usable answer ({error})", service, away)
            raise
        except Refusal as refusal:
            self.granted(service)
            if refusal.about is not About.US or refusal.code == expected:
                self.granted(asked)
            else:
                self.refused(refusal.words, service if refusal.is_about_the_key else asked, refusal.kind)
            raise
        finally:
            silent.cancel()
        self.granted(asked)
        self._note_speed(time.monotonic() - began, service)

    def _note_speed(self, took_s: float, service: str) -> None:
        if service == REST:
            self._slow = self._slow + 1 if took_s > SLOW_SECONDS else 0
            if self._slow >= SLOW_IN_A_ROW:
                self.refused(f"{service} answers slowly ({took_s:.1f} s)", service, RefusalKind.SLOW)
                return
        self.granted(service)

    def refused(self, words: str, asked: str, kind: RefusalKind = RefusalKind.REFUSED) -> None:
        """Tell in `/health` that what is asked for is refused."""
        self._reports.refused(Dependency.SUPABASE, words, asked, kind)

    def granted(self, asked: str) -> None:
        """Tell it no longer."""
        self._reports.answered(Dependency.SUPABASE, asked)
