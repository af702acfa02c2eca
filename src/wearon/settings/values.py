"""Values that settings spell in their own way: weights of tenants (`STORE=3,STORE=0.5`) and hours of retention."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from wearon.queue.limits import GREATEST_WEIGHT, LEAST_WEIGHT

LEAST_RETENTION_HOURS = 6.0
"""The signed URL of a result opens it for 6 hours. No session waits for so long but in a queue, where the uploads that
it needs are found (`wearon.operations.retention.named`)."""


def _check_hours(hours: float) -> float:
    if hours < LEAST_RETENTION_HOURS:
        raise ValueError(f"must be {LEAST_RETENTION_HOURS:g} or more: for so long the link to a result is valid")
    return hours


RetentionHours = Annotated[float, Field(le=24 * 365, allow_inf_nan=False), AfterValidator(_check_hours)]


def _parse(value: object) -> object:
    if not isinstance(value, str):
        return value
    weights: dict[str, str] = {}
    places: dict[str, int] = {}
    for place, part in enumerate(filter(str.strip, value.split(",")), 1):
        store, _, weight = part.partition("=")
        store = _check_store(store.strip())
        if places.setdefault(store, place) != place:
            raise ValueError(f"names {store} twice, in places {places[store]} and {place}: which weight is meant?")
        weights[store] = weight.strip()
    return weights


def _check_store(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("is no store's id: write STORE=3,STORE=0.5") from None


Weight = Annotated[float, Field(ge=LEAST_WEIGHT, le=GREATEST_WEIGHT)]
Weights = Annotated[Mapping[Annotated[str, AfterValidator(_check_store)], Weight], NoDecode, BeforeValidator(_parse)]
