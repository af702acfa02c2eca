"""What operators may do about refunds that are outstanding or need review."""

import asyncio
from collections.abc import Callable, Sequence

from wearon.operations.actions.errors import NotThere
from wearon.operations.refund_groups import Refunds
from wearon.operations.words import group_in_words
from wearon.queue.audit_log import Action, Actor, AuditLog
from wearon.refunds.intents import Intent, NeedsReview
from wearon.refunds.outbox import AT_ONCE, RefundOutbox


class RefundActions:
    """Actions on refunds that are outstanding or need review. All methods raise redis errors and PlatformError."""

    def __init__(self, outbox: RefundOutbox, audit_log: AuditLog) -> None:
        self._outbox = outbox
        self._audit_log = audit_log

    async def list(self) -> Refunds:
        """Both kinds, oldest first."""
        return Refunds(await self._outbox.outstanding(), await self._outbox.in_review())

    async def settle_now(
        self,
        by: Actor,
        session: str | None = None,
        group: str | None = None,
        *,
        most: int | None = None,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> tuple[Sequence[Intent], Refunds]:
        """Try every outstanding refund once, or one session's, or a group's; what was settled, and what is left.

        Raises NotThere. `most`: only so many, the oldest. `on_progress` gets how many have been tried, and how many
        there are.
        """
        refunds = await self.list()
        due = [case.intent for case in refunds.outstanding if session in (None, case.intent.session_id)]
        if group is not None:
            members = {intent.key for intent in refunds.of_group(group)}
            due = [intent for intent in due if intent.key in members]
        if not due and (session or group):
            raise NotThere(f"no refund of {f'session {session}' if session else f'group {group}'} is outstanding")
        due = due[:most]
        if not due:
            return [], refunds
        async with self._audit_log.doing(
            by,
            Action.RETRY_REFUNDS,
            session or group_in_words(group),
            before={"outstanding": len(due)},
            ids=[intent.session_id for intent in due],
        ) as doing:
            for start in range(0, len(due), AT_ONCE):
                on_progress(start, len(due))
                await asyncio.gather(*map(self._outbox.settle, due[start : start + AT_ONCE]))
            left = await self.list()
            still = {case.intent.key for case in left.outstanding}
            settled = [intent for intent in due if intent.key not in still]
            doing.came_to({"outstanding": len(due) - len(settled)})
        return settled, left

    async def in_review(self, session: str | None = None, group: str | None = None) -> Sequence[NeedsReview]:
        """The refunds of a session, or of a group, that need review. Raises NotThere."""
        cases = await self._outbox.in_review()
        members = {intent.key for intent in Refunds((), cases).of_group(group)} if group else None
        found = [
            case
            for case in cases
            if (case.intent.key in members if members is not None else case.intent.session_id == session)
        ]
        if not found:
            raise NotThere(f"no charge of {f'group {group}' if group else f'session {session}'} waits for a person")
        return found

    async def resolve(self, by: Actor, session: str | None = None, group: str | None = None) -> Sequence[Intent]:
        """Close the review of a session's refund, or of a group's, because a person has settled it. Raises NotThere."""
        cases = await self.in_review(session, group)
        entry = self._audit_log.document(
            by,
            Action.RESOLVE_REFUNDS,
            session or group_in_words(group),
            before={"needs_review": True, "why": cases[0].why},
            after={"needs_review": False},
        )
        return await self._outbox.resolve([case.intent for case in cases], entry)
