"""The id of an estimate: what the answer said, sealed, so that it need not be kept.

It tells the day, the recommended size with its neighbours and probabilities, the garment type and the store whose chart
was used: nothing about the shopper that the answer does not say, and nothing of height, weight or photo. A letter that
is changed breaks the seal.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wearon.sizing import SizeChart, SizeEstimate

PURPOSE = b"wearon estimate id"
"""Derives a key of its own from a secret that has other uses."""

NEIGHBOURS = 3
"""Sizes on either side of the recommended one that the id names: hardly anybody buys one further off."""

FEEDBACK_DAYS = 100
"""How long feedback is taken: shops take garments back for 14 to 100 days."""

DAY_S = 86_400

LONGEST_ID = 2048
"""Characters: seven names of 20 characters, each of six bytes at worst, are 1,120."""

_FORM = re.compile(r"1\.([A-Za-z0-9_-]{1,2000})\.([A-Za-z0-9_-]{22})")
_SEAL_BYTES = 16

Thousandths = Annotated[int, Field(ge=0, le=1000)]


class UnknownEstimate(Exception):
    """The id was not made here, was changed, or is too old."""


class Essentials(BaseModel):
    """What feedback to an estimate is compared with. Its names in the id are short."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    nonce: Annotated[str, Field(alias="n")]
    day: Annotated[int, Field(alias="d")]
    """Days since 1970."""
    store: Annotated[str, Field(alias="s")]
    """Whose chart was used; empty: one in the request, or ours."""
    garment: Annotated[str, Field(alias="g")]
    smaller: Annotated[tuple[str, ...], Field(alias="a")]
    """The next smaller sizes, smallest first."""
    recommended: Annotated[str, Field(alias="r")]
    larger: Annotated[tuple[str, ...], Field(alias="b")]
    is_ladder: Annotated[bool, Field(alias="l")] = True
    """False: sizes of two parts, of which none is simply larger than another; no neighbours are named."""
    right: Annotated[Thousandths, Field(alias="p")]
    """Stated probability that the recommended size is right."""
    right_is_larger: Annotated[Thousandths, Field(alias="q")]
    """Stated probability that a larger one is."""


class EstimateIds:
    """Makes and opens ids. All processes with the same secret open each other's."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._key = hmac.digest(secret, PURPOSE, hashlib.sha256)
        self._clock = clock

    def seal(self, answer: SizeEstimate, chart: SizeChart, store: str) -> str | None:
        """The id of this answer; None when no size was recommended."""
        if answer.recommended_size is None:
            return None
        names, is_ladder = list(answer.size_probabilities), not chart.second_sizes
        at = names.index(answer.recommended_size)
        larger = sum(list(answer.size_probabilities.values())[at + 1 :])
        said = Essentials(
            nonce=secrets.token_urlsafe(6),
            day=self._today(),
            store=store,
            garment=chart.garment,
            smaller=tuple(names[max(0, at - NEIGHBOURS) : at]) if is_ladder else (),
            recommended=answer.recommended_size,
            larger=tuple(names[at + 1 : at + 1 + NEIGHBOURS]) if is_ladder else (),
            is_ladder=is_ladder,
            right=round(answer.confidence * 1000),
            right_is_larger=min(1000, round(larger * 1000)),
        )
        document = _encoded(said.model_dump_json(by_alias=True).encode())
        return f"1.{document}.{_encoded(self._seal(document))}"

    def open(self, estimate_id: str) -> Essentials:
        """What the answer said. Raises UnknownEstimate."""
        found = _FORM.fullmatch(estimate_id)
        if found is None or not hmac.compare_digest(_encoded(self._seal(found[1])), found[2]):
            raise UnknownEstimate("Unknown estimate_id")
        try:
            said = Essentials.model_validate_json(base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
        except (binascii.Error, ValidationError) as error:  # of a newer version
            raise UnknownEstimate("Unknown estimate_id") from error
        if self._today() - said.day > FEEDBACK_DAYS:
            raise UnknownEstimate(f"The estimate is older than {FEEDBACK_DAYS} days")
        return said

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    def _seal(self, document: str) -> bytes:
        return hmac.digest(self._key, document.encode(), hashlib.sha256)[:_SEAL_BYTES]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
