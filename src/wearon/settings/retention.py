"""After how many hours pictures are deleted, as the setting spells it."""

from typing import Annotated

from pydantic import AfterValidator, Field

LEAST_RETENTION_HOURS = 6.0
"""The signed URL of a result opens it for 6 hours. No session waits for so long but in a queue, where the uploads that
it needs are found (`wearon.operations.retention.named`)."""


def _check(hours: float) -> float:
    if hours < LEAST_RETENTION_HOURS:
        raise ValueError(f"must be {LEAST_RETENTION_HOURS:g} or more: for so long the link to a result is valid")
    return hours


RetentionHours = Annotated[float, Field(le=24 * 365, allow_inf_nan=False), AfterValidator(_check)]
