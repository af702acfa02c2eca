"""Figures as they are measured, judged and written: one line for each target of the table."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    `samples` has one value for each run. `judged` says what the limit is compared with: the median of the samples,
    or their ratio to the reference of the same run (`reference`, as many samples).
    """

    what: str
    target: str
    unit: str
    samples: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None
    reference: Sequence[float] = ()
    reference_is: str = ""
    judge_ratio: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        """Of the samples."""
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Median over the runs of sample / reference; both come from the same run."""
        if not self.reference:
            return None
        pairs = zip(self.samples, self.reference, strict=True)
        return statistics.median(sample / reference if reference else math.inf for sample, reference in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None when there is none (a figure for information)."""
        value = self.ratio if self.judge_ratio else self.median
        assert value is not None
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def line(self) -> str:
        """A row of the markdown table."""
        spread = f"{_n(self.median)} {self.unit} ({_n(min(self.samples))}-{_n(max(self.samples))})"
        reference = ""
        if self.reference:
            reference = f"{self.reference_is} {_n(statistics.median(self.reference))} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {True: "met", False: "**missed**", None: ""}[self.met]
        return f"| {self.what} | {self.target} | {spread} | {reference} | {ratio} | {verdict} |"


@dataclass
class Result:
    """What one benchmark found out."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    noise: float = 0.0
    seconds: float = 0.0
    details: dict[str, object] = field(default_factory=dict)


HEAD = (
    "| what | target | measured: median (min-max of the runs) | reference, same run | ratio | |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def table(results: Sequence[Result]) -> str:
    """All figures as markdown."""
    return "\n".join([HEAD, *(figure.line() for result in results for figure in result.figures)])


def notes(results: Sequence[Result]) -> str:
    """What is worth knowing about single figures, as a markdown list."""
    lines = [f"- {figure.what}: {figure.note}" for result in results for figure in result.figures if figure.note]
    return "\n".join(lines)


def write(folder: Path, result: Result) -> None:
    """Keep one result as JSON; a later run of the same benchmark replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        {**asdict(figure), "median": figure.median, "ratio": figure.ratio, "met": figure.met}
        for figure in result.figures
    ]
    content = {
        "name": result.name,
        "noise": round(result.noise, 3),
        "seconds": round(result.seconds, 1),
        "figures": figures,
        "details": result.details,
    }
    (folder / f"{result.name}.json").write_text(json.dumps(content, indent=1) + "\n")


def read(folder: Path, names: Sequence[str]) -> list[Result]:
    """The kept results, in that order."""
    found = []
    for name in names:
        file = folder / f"{name}.json"
        if not file.exists():
            continue
        content = json.loads(file.read_text())
        derived = {"median", "ratio", "met"}
        figures = [Figure(**{k: v for k, v in figure.items() if k not in derived}) for figure in content["figures"]]
        found.append(Result(content["name"], figures, content["noise"], content["seconds"], content["details"]))
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; not a number when there are no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _n(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
