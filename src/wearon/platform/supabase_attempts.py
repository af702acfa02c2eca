"""Each attempt at asking Supabase for something, and a report of what it refuses, for `/health`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wearon.dependencies import Dependencies, Dependency
from wearon.platform.base import About, PlatformUnavailable
from wearon.platform.supabase_answers import Refusal, attempt

REST = "Supabase"
STORAGE = "Supabase Storage"
"""The services by which refusals are told apart, as `/health` names them."""

SILENT_SECONDS = 5.0
"""A request that waits for its answer longer than this is told in `/health` before it is given up."""


class Attempts:
    """Makes attempts; what came of them goes to `reports`."""

    def __init__(self, reports: Dependencies) -> None:
        self.reports = reports

    @asynccontextmanager
    async def __call__(
        self, action: str, seconds: float, service: str = REST, *, expected: str = ""
    ) -> AsyncIterator[None]:
        """`attempt`, with a report of what Supabase refuses. `expected`: a code that is an answer like any other."""
        reports = self.reports
        silence = f"{service} has not answered for {SILENT_SECONDS:g} s"
        silent = asyncio.get_running_loop().call_later(
            SILENT_SECONDS, reports.refused, Dependency.SUPABASE, silence, service
        )
        try:
            async with attempt(action, seconds):
                yield
        except PlatformUnavailable as error:
            reports.refused(Dependency.SUPABASE, f"{service} gives no usable answer ({error})", service)
            raise
        except Refusal as refusal:
            reports.answered(Dependency.SUPABASE, service)
            if refusal.about is About.US and refusal.code != expected:
                reports.refused(Dependency.SUPABASE, refusal.words, action)
            raise
        finally:
            silent.cancel()
        reports.answered(Dependency.SUPABASE, service)
        reports.answered(Dependency.SUPABASE, action)
