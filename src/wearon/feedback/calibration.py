"""Whether our probabilities hold: counted feedback compared with what the answers stated. Pure.

Some feedback leaves open which size was right. So a share is a span: from all of these counting against it to all of
them for it, with Wilson's interval around either end. Only what is beyond the whole span is a finding.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wearon.feedback.verdict import Verdict

BANDS = (0.4, 0.6, 0.8)
"""Bounds between bands of confidence. From the last one on, the published widget shows one size."""

LEAST_JUDGED = 50
"""Below this nothing is concluded: Wilson's interval is 0.27 wide there, and a few shoppers' habits decide."""

LEAST_DIFFERENCE = 0.05
"""A difference that is smaller changes no decision of a shopper, even if it is no chance."""

LEVEL = 0.95
"""Of the intervals; and in so many of 100 reports on good probabilities there is no finding at all."""

_COUNT = re.compile(rb"-?[0-9]{1,18}")
"""A counter as Redis writes it."""

TESTS_A_ROW = 3
"""Right, larger and smaller."""


class Finding(StrEnum):
    """In what way the counts differ from what was stated."""

    OVERCONFIDENT = "overconfident"
    UNDERCONFIDENT = "underconfident"
    RECOMMENDS_TOO_SMALL = "recommends_too_small"
    RECOMMENDS_TOO_LARGE = "recommends_too_large"


class State(StrEnum):
    """What can be concluded from a row."""

    TOO_FEW = "too_few"
    ONE_SIDED = "one_sided"
    """It differs, but all that was reported is praise, or all is complaints: that tells of the reporting."""
    AGREES = "agrees"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Cell:
    """The counters of one store, garment type and band of confidence."""

    store: str
    garment: str
    band: str
    verdicts: Mapping[Verdict, int]
    stated_right: float
    """Sum of the stated probabilities, over all but the returned ones."""
    stated_larger: float


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Share(_Value):
    """How often something was so, as stated and as counted."""

    stated: float
    observed: Annotated[tuple[float, float], Field(description="From least to most, as open feedback is decided")]
    interval: Annotated[tuple[float, float], Field(description="95 %, Wilson, around both")]


class Row(_Value):
    """One group of feedback."""

    by: Annotated[str, Field(description="all, garment, store or confidence")]
    name: str
    feedbacks: int
    returned: Annotated[int, Field(description="Of these, for no reason that has to do with the size")]
    judged: Annotated[int, Field(description="All others")]
    open: Annotated[int, Field(description="Of the judged, those that do not tell which size was right")]
    right: Share | None
    larger: Share | None
    smaller: Share | None
    state: State
    findings: Sequence[Finding]


class Calibration(_Value):
    """What the sold sizes say about our probabilities."""

    recalibration_warranted: bool
    rows: Sequence[Row]


def confidence_band(right: int) -> str:
    """The name of the band that a stated probability (thousandths) is in."""
    bounds = (0.0, *BANDS, 1.0)
    at = sum(right >= 1000 * bound for bound in BANDS)
    return f"{bounds[at]:.1f}-{bounds[at + 1]:.1f}"


def read_cells(counters: Mapping[bytes, bytes]) -> Iterable[Cell]:
    """The cells of one month, as `feedback/store.py` writes them; what it did not write is passed over."""
    found: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for name, value in counters.items():
        match name.decode(errors="replace").split(" "):
            case [store, garment, band, counter] if _COUNT.fullmatch(value):
                found[store, garment, band][counter] += int(value)
    for (store, garment, band), counts in found.items():
        verdicts = {verdict: max(0, counts[verdict]) for verdict in Verdict}
        yield Cell(store, garment, band, verdicts, counts["stated_right"] / 1000, counts["stated_larger"] / 1000)


def calibrate(cells: Iterable[Cell], store: str | None = None, garment: str | None = None) -> Calibration:
    """Compare, in all and by garment type, store and confidence; of one store or garment type, or of all."""
    chosen = [cell for cell in cells if store in (None, cell.store) and garment in (None, cell.garment)]
    groups: list[tuple[str, Callable[[Cell], str]]] = [
        ("all", lambda _: "all"),
        ("garment", lambda cell: cell.garment),
        ("store", lambda cell: cell.store),
        ("confidence", lambda cell: cell.band),
    ]
    tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    for by, name in groups:
        for cell in sorted(chosen, key=name):
            tallies[by, name(cell)].add(cell)
    judged = sum(tally.judged >= LEAST_JUDGED for tally in tallies.values())
    # Bonferroni: each of the tests may err so rarely that all together err in 1 of 20 reports at most.
    z = _normal_quantile(1 - (1 - LEVEL) / (2 * TESTS_A_ROW * max(1, judged)))
    rows = [_row(by, name, tally, z) for (by, name), tally in tallies.items()]
    return Calibration(recalibration_warranted=any(row.state is State.DIFFERS for row in rows), rows=rows)


def wilson(hits: int, of: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a share; `z` is the quantile of the normal distribution."""
    middle, spread = hits + z * z / 2, z * math.sqrt(hits * (of - hits) / of + z * z / 4)
    return max(0.0, (middle - spread) / (of + z * z)), min(1.0, (middle + spread) / (of + z * z))


@dataclass(slots=True)
class _Tally:
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    stated_right: float = 0.0
    stated_larger: float = 0.0

    def add(self, cell: Cell) -> None:
        self.verdicts.update(cell.verdicts)
        self.stated_right += cell.stated_right
        self.stated_larger += cell.stated_larger

    @property
    def judged(self) -> int:
        return self.verdicts.total() - self.verdicts[Verdict.RETURNED]

    def spans(self) -> "Mapping[Verdict, _Span]":
        """What was stated for each answer to "which size was right?", and how often it was right (least, most)."""
        counts, n = self.verdicts, self.judged
        unsure = counts[Verdict.OPEN] + counts[Verdict.OTHER]  # `other` is surely not the recommended one
        smaller = max(0.0, n - self.stated_right - self.stated_larger)
        return {
            Verdict.RIGHT: _Span(self.stated_right, counts[Verdict.RIGHT], counts[Verdict.OPEN], n),
            Verdict.LARGER: _Span(self.stated_larger, counts[Verdict.LARGER], unsure, n),
            Verdict.SMALLER: _Span(smaller, counts[Verdict.SMALLER], unsure, n),
        }


@dataclass(frozen=True, slots=True)
class _Span:
    stated: float
    least: int
    unsure: int
    of: int

    def interval(self, z: float) -> tuple[float, float]:
        return wilson(self.least, self.of, z)[0], wilson(self.least + self.unsure, self.of, z)[1]

    def beyond(self, z: float) -> int:
        """1: it was so more often than stated, beyond chance and by enough; -1: less often; else 0."""
        low, high = self.interval(z)
        stated = self.stated / self.of
        if stated < low and stated <= self.least / self.of - LEAST_DIFFERENCE:
            return 1
        return -1 if stated > high and stated >= (self.least + self.unsure) / self.of + LEAST_DIFFERENCE else 0

    def share(self) -> Share:
        low, high = self.interval(_normal_quantile((1 + LEVEL) / 2))
        return Share(
            stated=round(self.stated / self.of, 3),
            observed=(round(self.least / self.of, 3), round((self.least + self.unsure) / self.of, 3)),
            interval=(round(low, 3), round(high, 3)),
        )


def _row(by: str, name: str, tally: _Tally, z: float) -> Row:
    judged, counts = tally.judged, tally.verdicts
    spans = tally.spans() if judged else {}
    shares = {verdict: span.share() for verdict, span in spans.items()}
    findings = _findings(spans, z) if judged >= LEAST_JUDGED else []
    return Row(
        by=by,
        name=name,
        feedbacks=counts.total(),
        returned=counts[Verdict.RETURNED],
        judged=judged,
        open=counts[Verdict.OPEN],
        right=shares.get(Verdict.RIGHT),
        larger=shares.get(Verdict.LARGER),
        smaller=shares.get(Verdict.SMALLER),
        state=_state(judged, counts, findings),
        findings=findings,
    )


def _findings(spans: Mapping[Verdict, _Span], z: float) -> Sequence[Finding]:
    right = spans[Verdict.RIGHT].beyond(z)
    found = {
        Finding.OVERCONFIDENT: right < 0,
        Finding.UNDERCONFIDENT: right > 0,
        Finding.RECOMMENDS_TOO_SMALL: spans[Verdict.LARGER].beyond(z) > 0,
        Finding.RECOMMENDS_TOO_LARGE: spans[Verdict.SMALLER].beyond(z) > 0,
    }
    return [finding for finding, is_so in found.items() if is_so]


def _state(judged: int, counts: Mapping[Verdict, int], findings: Sequence[Finding]) -> State:
    if judged < LEAST_JUDGED:
        return State.TOO_FEW
    if not findings:
        return State.AGREES
    return State.ONE_SIDED if counts[Verdict.RIGHT] in (0, judged) else State.DIFFERS


def _normal_quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)
