"""What operators may do about dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from wearon.operations.actions.errors import NotPossible, NotThere
from wearon.operations.dead_letter_groups import (
    BulkLetter,
    BulkStep,
    Fate,
    Grouping,
    LetterGroups,
    fate_of,
    group_of,
    task_of,
)
from wearon.operations.words import group_in_words
from wearon.platform.base import Platform
from wearon.queue.audit_log import Action, Actor, AuditLog
from wearon.queue.dead_letters import DeadLetter, DeadLetters, Entry
from wearon.queue.task import GenerationTask

STEP = 200
"""Dead letters that one part of a retried or discarded group has, or a page more: seconds at most."""

LOOK_UPS = 10
"""Sessions asked for side by side."""

_ENDING = frozenset((Fate.PUSHED, Fate.DISCARDED))


class DeadLetterActions:
    """Actions on dead letters. All methods raise redis errors, those on groups PlatformError, too."""

    def __init__(self, letters: DeadLetters, platform: Platform, audit_log: AuditLog) -> None:
        self._letters = letters
        self._platform = platform
        self._audit_log = audit_log

    async def list(self, limit: int, skip: int = 0, group: str | None = None) -> Sequence[DeadLetter]:
        """The newest ones, newest first, behind the first `skip`; of one group or of all."""
        found = [entry.letter async for entry in self._each(group, most=skip + limit)]
        return found[skip:]

    async def groups(self) -> LetterGroups:
        """All of them, counted by cause and producer version."""
        grouping = Grouping()
        async for entry in self._each(None):
            grouping.add(entry.letter)
        return grouping.result

    async def find(self, letter_id: str) -> DeadLetter:
        """One of them; raises NotThere."""
        return (await self._entries(letter_id))[0].letter

    async def retry(self, letter_id: str, by: Actor) -> DeadLetter:
        """Push the document again, as a producer does, and forget the letter. Raises NotPossible."""
        first, *others = await self._entries(letter_id)
        check_retry(first.letter)
        entry = self._audit_log.document(by, Action.RETRY_DEAD_LETTERS, letter_id)
        if not await self._letters.end({first: True, **dict.fromkeys(others, False)}, entry):
            raise NotThere(_not_there(letter_id))
        return first.letter

    async def discard(self, letter_id: str, by: Actor) -> DeadLetter:
        """Delete the dead letter; raises NotThere."""
        entries = await self._entries(letter_id)
        entry = self._audit_log.document(by, Action.DISCARD_DEAD_LETTERS, letter_id)
        await self._letters.end(dict.fromkeys(entries, False), entry)
        return entries[0].letter

    async def retry_some(self, group: str | None, by: Actor, passed: int = 0, *, dry_run: bool = False) -> BulkStep:
        """Retry a part of a group, or of all, oldest first: what would not come back at once is pushed, the rest stays.

        `dry_run`: nothing is pushed. `passed` is the last part's; 0 begins.
        """
        entry = self._audit_log.document(by, Action.RETRY_DEAD_LETTERS, group_in_words(group))
        return await self._end_some(group, passed, self._fates, entry, dry_run=dry_run)

    async def discard_some(self, group: str, by: Actor, passed: int = 0, *, until: str = "") -> BulkStep:
        """Delete a part of a group, oldest first; none that is newer than `until` (ISO 8601)."""

        async def fates(entries: Sequence[Entry]) -> Mapping[Entry, Fate]:
            return {entry: Fate.DISCARDED for entry in entries if not until or entry.letter.at <= until}

        entry = self._audit_log.document(by, Action.DISCARD_DEAD_LETTERS, group_in_words(group))
        return await self._end_some(group, passed, fates, entry)

    async def _end_some(
        self,
        group: str | None,
        passed: int,
        judge: Callable[[Sequence[Entry]], Awaitable[Mapping[Entry, Fate]]],
        audit_entry: str,
        *,
        dry_run: bool = False,
    ) -> BulkStep:
        done: list[BulkLetter] = []
        while page := await self._letters.read(passed, oldest_first=True):
            fates = await judge([entry async for entry in _members(page, group)])
            ending = _to_end(fates)
            ended = list(ending) if dry_run else await self._letters.end(ending, audit_entry)
            told = [*ended, *(entry for entry, fate in fates.items() if fate not in _ENDING)]
            done += [BulkLetter(id=e.letter.id, session_id=e.letter.session_id, fate=fates[e]) for e in told]
            passed += len(page) if dry_run else len(page) - len(ending)  # gone, by us or by another operator
            if len(done) >= STEP:
                return BulkStep(letters=done, passed=passed)
        return BulkStep(letters=done, passed=None)

    async def _fates(self, entries: Sequence[Entry]) -> Mapping[Entry, Fate]:
        """What a retry does to each; asks the platform for the sessions of those that can become tasks."""
        at_once = asyncio.Semaphore(LOOK_UPS)

        async def look_up(task: GenerationTask | None) -> Fate:
            if task is None:
                return Fate.NO_TASK
            async with at_once:
                return fate_of(task, await self._platform.find_session(task.channel, task.session_id))

        tasks = []
        for entry in entries:
            await asyncio.sleep(0)  # a document may take a millisecond to read
            tasks.append(task_of(entry.letter))
        return dict(zip(entries, await asyncio.gather(*map(look_up, tasks)), strict=True))

    async def _each(self, group: str | None, most: int | None = None) -> AsyncIterator[Entry]:
        passed, found = 0, 0
        while page := await self._letters.read(passed):
            async for entry in _members(page, group):
                yield entry
                found += 1
                if found == most:
                    return
            passed += len(page)

    async def _entries(self, letter_id: str) -> Sequence[Entry]:
        entries = await self._letters.find(letter_id)
        if not entries:
            raise NotThere(_not_there(letter_id))
        return entries


def check_retry(letter: DeadLetter) -> None:
    """Raises NotPossible for a letter that would come back at once."""
    if not letter.is_whole:
        raise NotPossible(f"{letter.id} cannot be pushed again: its document was cut or is not UTF-8")
    if task_of(letter) is None:
        raise NotPossible(f"{letter.id} would come back at once: {letter.reason}")


def _to_end(fates: Mapping[Entry, Fate]) -> Mapping[Entry, bool]:
    """What is to be ended, and whether it is pushed: a document that lies there several times is pushed once."""
    pushed: set[str] = set()
    ending: dict[Entry, bool] = {}
    for entry, fate in fates.items():
        if fate in _ENDING:
            ending[entry] = fate is Fate.PUSHED and entry.letter.id not in pushed
            pushed.add(entry.letter.id)
    return ending


async def _members(page: Sequence[Entry], group: str | None) -> AsyncIterator[Entry]:
    for entry in page:
        await asyncio.sleep(0)  # a document may take a millisecond to look at
        if group is None or group_of(entry.letter) == group:
            yield entry


def _not_there(letter_id: str) -> str:
    return f"there is no dead letter {letter_id}"
