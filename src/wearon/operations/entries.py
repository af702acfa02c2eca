"""The entries of a session's history, as they are kept in Redis."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from wearon.observability.kept_lines import LogLine
from wearon.operations.readable import Moment
from wearon.refunds.intents import Settlement
from wearon.tryon.input_images import InputImage
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, Step

log = structlog.get_logger()

MAX_ENTRIES = 30
"""Entries of one session that are kept, the newest: an outage of an hour causes hundreds of attempts."""


class RunEntry(BaseModel):
    """One run, written at its end."""

    kind: Literal["run"] = "run"
    at: Moment
    worker: str = ""
    request_id: str = ""
    attempt: int = 1
    pushed_at: datetime | None = None
    handed_over_at: Moment | None = None
    began_at: Moment
    steps: list[Step] = []
    outcome: Outcome
    reason: str = ""
    category: Reason | None = None
    delay_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    model: str | None = None
    """The image model that made the picture."""
    refund: Settlement | None = None
    pictures: list[InputImage] = []
    lines: list[LogLine] = []


class SettlementEntry(BaseModel):
    """A refund that was settled outside of a run."""

    kind: Literal["refund"] = "refund"
    at: Moment
    worker: str = ""
    refund: Settlement


class DeadLetterEntry(BaseModel):
    """A document that named the session and went to the dead letters."""

    kind: Literal["dead_letter"] = "dead_letter"
    at: Moment
    worker: str = ""
    letter: str = ""
    reason: str = ""


Entry = RunEntry | SettlementEntry | DeadLetterEntry

_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read_entry(text: bytes) -> Entry | None:
    """The entry of any version; None when it cannot be read."""
    try:
        return _ENTRY.validate_json(text)
    except (ValidationError, RecursionError):
        log.warning("journal entry cannot be read")
        return None
