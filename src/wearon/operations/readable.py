"""Bounds of what other processes wrote into Redis: with a number beyond them no sum could be made, nor any sentence."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(3000, 1, 1, tzinfo=UTC))]

Seconds = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

Count = Annotated[int, Field(ge=0, le=2**53)]
