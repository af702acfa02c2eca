"""Reading what other processes wrote into Redis, within bounds: with numbers beyond them no sum could be made."""

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

M = TypeVar("M", bound=BaseModel)

Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(3000, 1, 1, tzinfo=UTC))]

Seconds = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

Count = Annotated[int, Field(ge=0, le=2**53)]


def read(model: type[M], text: bytes | None) -> M | None:
    """What stands in the text, of any version; None when there is none, or it cannot be read."""
    try:
        return model.model_validate_json(text or b"")
    except ValidationError:
        return None
