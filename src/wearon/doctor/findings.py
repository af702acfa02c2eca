"""What the doctor finds: one sentence with its weight, what to do about it, and the promise that it breaks."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well as it should; or it cannot be told."""
    FAULT = "fault"
    """A promise is broken."""


class Promise(StrEnum):
    """Rows of the table in `docs/guarantees.md`, word for word (a test compares them)."""

    EVERY_TASK_ENDS = "Every task ends: as completed, as failed with one refund, or in the dead letters"
    REFUNDED_ONCE = "A failed generation refunds what the ledger says was taken, once"
    PAID_ONCE = "Once OpenAI has answered, no crash, outage or shutdown on the same disk makes us pay again"
    SIZES_ALWAYS = "/estimate-body answers whether or not Redis, Supabase and OpenAI do"
    PICTURES_PRIVATE = "A shopper's pictures open with a signed URL only"
    DELETED_IN_TIME = (
        "With RETENTION_HOURS, a shopper's photos and results are deleted within that time and a little more than an"
        " hour, and none that an open session needs"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis."""

    check: str
    """What was looked at, such as `redis eviction`."""
    level: Level
    message: str
    hint: str = ""
    breaks: Promise | None = None


def ok(check: str, message: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, hint: str) -> Finding:
    """A finding that an operator should know of."""
    return Finding(check, Level.WARNING, message, hint)


def fault(check: str, message: str, hint: str, breaks: Promise) -> Finding:
    """A finding that an operator must correct."""
    return Finding(check, Level.FAULT, message, hint, breaks)
