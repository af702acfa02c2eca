"""The audit log: what operators did, who, when, and what it changed. A bounded list in Redis, newest first.

Where one script does what was asked, the same script adds the entry (`note_action` in `scripts/shared.lua`), so there
is none without the other. What takes more than one has an entry before it begins, which is completed afterwards: it
stays as it is when the process ends in between. It is not the audit of the books (`wearon.operations.audit`), which
compares sessions with ledgers.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from pydantic import BaseModel, Field, ValidationError, computed_field
from redis.asyncio import Redis

from wearon.observability.redaction import Redaction
from wearon.queue import keys
from wearon.redis.scripts import load_script

MAX_NAMED = 100
"""Ids that an entry names; the counts in it are of all. So 10,000 entries (the limit in `scripts/shared.lua`) are 40 MB
at most, and some 3 MB in practice."""

MAX_TEXT = 300
"""Characters of any text in an entry."""

PAGE = 200

_FAR = 32_503_680_000_000
"""The year 3000, in milliseconds: what is beyond was not written by us."""

Facts = Mapping[str, str | int | bool | None]
"""What was, or is, in a few words and numbers."""

BEGUN: Facts = {"state": "begun"}
"""What an entry says was after: it is not known how far the action came, because its process ended meanwhile."""


class Via(StrEnum):
    """How a person acted."""

    CONSOLE = "console"
    HTTP = "http"
    """With a bearer token; in local mode without tokens also from this machine."""
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the role of a token, `this machine` in local mode without tokens, or a command's `user@machine`."""

    name: str
    via: Via

    def __str__(self) -> str:
        return self.name if self.via is Via.COMMAND else f"{self.name} ({self.via})"


class Action(StrEnum):
    """What an operator may do."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    CANCEL_WAITING = "cancel_waiting"
    RETRY_DEAD_LETTERS = "retry_dead_letters"
    DISCARD_DEAD_LETTERS = "discard_dead_letters"
    RETRY_REFUNDS = "retry_refunds"
    RESOLVE_REFUNDS = "resolve_refunds"
    FAIL_ORPHANS = "fail_orphans"
    REPAIR_BOOKS = "repair_books"
    DELETE_OLD_PICTURES = "delete_old_pictures"
    PUT_CHART = "put_chart"
    DELETE_CHART = "delete_chart"
    LOG_IN = "log_in"
    LOGIN_REFUSED = "login_refused"
    """By an unknown person."""
    SHOW_PICTURE = "show_picture"
    """Changes nothing, but makes a URL that opens a shopper's photo."""


class AuditEntry(BaseModel):
    """One thing that an operator did."""

    at_ms: int = Field(default=0, ge=0, le=_FAR)
    """By the clock of the Redis server (epoch)."""
    by: str = ""
    via: str = ""
    """A Via, or that of a newer version."""
    action: str = "an entry that cannot be read"
    """An Action, or that of a newer version."""
    about: str = ""
    """A session, a dead letter, a group, a store, a chart, or what else it was done to."""
    before: Facts | None = None
    after: Facts | None = None
    ids: Sequence[str] = ()
    """The dead letters or sessions concerned, where there can be several; `MAX_NAMED` at most."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def at(self) -> datetime:
        """When the action was done."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)


@dataclass(slots=True)
class Doing:
    """An action that is being done: what came of it, once that is known."""

    after: Facts | None = None
    before: Facts | None = None
    ids: Sequence[str] | None = None
    is_withdrawn: bool = False

    def came_to(self, after: Facts, *, before: Facts | None = None, ids: Sequence[str] | None = None) -> None:
        """Say what was after, and what is known only now."""
        self.after, self.before, self.ids = after, before, ids

    def changed_nothing(self) -> None:
        """Take the entry out again."""
        self.is_withdrawn = True


class AuditLog:
    """The log in Redis. Secrets, queries of URLs and e-mail addresses are taken out before anything is written."""

    def __init__(self, redis: Redis, redaction: Redaction) -> None:
        self._redis = redis
        self._clean = redaction.clean_text
        self._note = redis.register_script(load_script("queue", "note_action"))
        self._complete = redis.register_script(load_script("queue", "complete_action"))

    def document(
        self,
        by: Actor,
        action: Action,
        about: str,
        *,
        before: Facts | None = None,
        after: Facts | None = None,
        ids: Sequence[str] = (),
    ) -> str:
        """The entry for a script, which completes it: when, and what it alone knows."""
        entry = AuditEntry(
            by=self._short(by.name),
            via=by.via,
            action=action,
            about=self._short(about),
            before=self._facts(before),
            after=self._facts(after),
            # None at all is left out: a script would make `{}` of an empty list.
            ids=tuple(self._short(one) for one in ids[:MAX_NAMED]),
        )
        return entry.model_dump_json(exclude={"at", "at_ms"}, exclude_defaults=True)

    async def note(
        self,
        by: Actor,
        action: Action,
        about: str,
        *,
        before: Facts | None = None,
        after: Facts | None = None,
        ids: Sequence[str] = (),
    ) -> None:
        """Add an entry by itself, before something that cannot end half done. Raises redis errors."""
        await self._note(args=[self.document(by, action, about, before=before, after=after, ids=ids)])

    @asynccontextmanager
    async def doing(
        self, by: Actor, action: Action, about: str, *, before: Facts | None = None, ids: Sequence[str] = ()
    ) -> AsyncIterator[Doing]:
        """Add an entry before something that no single script does, and complete it afterwards. Raises redis errors.

        It stays as begun when the block raises, or does not say what came of it.
        """
        begun = self.document(by, action, about, before=before, after=BEGUN, ids=ids)
        written = cast("bytes", await self._note(args=[begun]))
        doing = Doing()
        yield doing
        if doing.is_withdrawn:
            await self._complete(args=[written, ""])
        elif doing.after is not None:
            ids = ids if doing.ids is None else doing.ids
            entry = self.document(by, action, about, before=doing.before or before, after=doing.after, ids=ids)
            await self._complete(args=[written, entry])

    def clean(self, text: str) -> str:
        """A text that people typed, without secrets."""
        return self._clean(text)

    async def read(self, limit: int, since: datetime | None = None) -> Sequence[AuditEntry]:
        """The newest entries, newest first; none from before `since`. Raises redis errors."""
        found: list[AuditEntry] = []
        while len(found) < limit:
            end = len(found) + min(PAGE, limit - len(found)) - 1
            page = cast("list[bytes]", await self._redis.lrange(keys.AUDIT_LOG, len(found), end))
            entries = [_read(raw) for raw in page]
            found += [entry for entry in entries if since is None or entry.at >= since]
            if len(found) < end + 1:
                break
        return found

    def _facts(self, facts: Facts | None) -> Facts | None:
        if facts is None:
            return None
        return {name: self._short(value) if isinstance(value, str) else value for name, value in facts.items()}

    def _short(self, text: str) -> str:
        return self._clean(text[: 10 * MAX_TEXT])[:MAX_TEXT]


def _read(raw: bytes) -> AuditEntry:
    """An entry of any version; what cannot be read stays visible as such."""
    try:
        return AuditEntry.model_validate_json(raw.decode(errors="replace"))
    except (ValidationError, RecursionError):
        return AuditEntry()
