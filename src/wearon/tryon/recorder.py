"""What happens to jobs, refunds and dead letters: told to those who count, and written into the journal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wearon.logs import keep_lines
from wearon.tryon.dead_letters import DeadLetter
from wearon.tryon.journal import Journal
from wearon.tryon.progress import Progress, Run, Settled, Settlement, present_run


class Recorder:
    """Without a journal: one that only tells."""

    def __init__(self, progress: Progress, journal: Journal | None = None) -> None:
        self.progress = progress
        self._journal = journal

    @asynccontextmanager
    async def follow(self, run: Run) -> AsyncIterator[None]:
        """The run is under way within the block; what was done in it is written down at its end, however it ends."""
        with keep_lines() as kept:
            try:
                with self.progress.follow(run):
                    yield
            finally:
                if self._journal is not None:
                    await self._journal.write_run(run, kept.lines)

    async def refund_moved(self, settlement: Settlement) -> None:
        """The outbox has settled or postponed an intent."""
        self.progress.refund_moved(settlement)
        run = present_run()
        if run is not None and run.ref == settlement.ref:
            run.settlement = settlement  # goes into the run's own entry
        elif self._journal is not None and settlement.settled is not Settled.POSTPONED:
            # Postponed ones are tried every few seconds, and the outbox itself says why.
            await self._journal.write_settlement(settlement)

    async def dead_letter_added(self, letter: DeadLetter) -> None:
        """A document went to the dead letters; within a run, its end says so."""
        self.progress.dead_letter_added()
        if self._journal is not None and letter.session_id is not None and present_run() is None:
            await self._journal.write_dead_letter(letter.session_id, letter.id, letter.reason)
