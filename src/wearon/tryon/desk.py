"""What operators do to dead letters and refunds: the same for the command line and the console.

NotPossible   it cannot be done; the message is one line for the operator
└── NotThere  there is no such letter, refund or charge
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wearon.tryon.dead_letters import DeadLetter, DeadLetters
from wearon.tryon.refund_intents import Intent, NeedsAPerson, Outstanding
from wearon.tryon.refunds import RefundOutbox


class NotPossible(Exception):
    """What was asked for cannot be done."""


class NotThere(NotPossible):
    """What was named does not exist (any more)."""


@dataclass(frozen=True, slots=True)
class Refunds:
    """What is outstanding, and what waits for a person."""

    outstanding: Sequence[Outstanding]
    by_hand: Sequence[NeedsAPerson]


class LettersDesk:
    """Dead letters. All methods raise redis errors."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def list(self, limit: int) -> Sequence[DeadLetter]:
        """The newest ones, newest first."""
        return await self._letters.list(limit)

    async def find(self, letter_id: str) -> DeadLetter:
        """One of them; raises NotThere."""
        letter = await self._letters.find(letter_id)
        if letter is None:
            raise NotThere(f"there is no dead letter {letter_id}")
        return letter

    async def retry(self, letter_id: str) -> DeadLetter:
        """Push the document again, as a producer does, and forget the letter. Raises NotPossible."""
        letter = await self.find(letter_id)
        if not letter.is_whole:
            raise NotPossible(f"{letter_id} cannot be pushed again: its document was cut or is not UTF-8")
        await self._letters.push_again(letter)
        return letter

    async def discard(self, letter_id: str) -> DeadLetter:
        """Forget the letter for good; raises NotThere."""
        letter = await self.find(letter_id)
        await self._letters.discard(letter)
        return letter


class RefundsDesk:
    """Refunds that are outstanding or wait for a person. All methods raise redis errors and PlatformError."""

    def __init__(self, outbox: RefundOutbox) -> None:
        self._outbox = outbox

    async def list(self) -> Refunds:
        """Both kinds, oldest first."""
        return Refunds(await self._outbox.outstanding(), await self._outbox.by_hand())

    async def settle_now(
        self, session: str | None = None, on_progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> tuple[Sequence[Intent], Refunds]:
        """Try every outstanding refund once, or one session's; what was settled, and what is left. Raises NotThere.

        `on_progress` is told how many of how many have been tried.
        """
        due = [intent for intent in await self._outbox.pending() if session in (None, intent.session_id)]
        if session is not None and not due:
            raise NotThere(f"no refund of session {session} is outstanding")
        for done, intent in enumerate(due):
            on_progress(done, len(due))
            await self._outbox.settle(intent)
        left = await self.list()
        still = {case.intent.key for case in left.outstanding}
        return [intent for intent in due if intent.key not in still], left

    async def resolve(self, session: str) -> None:
        """A person has put the session's charge right: forget the case. Raises NotThere."""
        case = next((case for case in await self._outbox.by_hand() if case.intent.session_id == session), None)
        if case is None:
            raise NotThere(f"no charge of session {session} waits for a person")
        await self._outbox.put_right(case.intent)
