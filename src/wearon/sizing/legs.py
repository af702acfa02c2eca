"""What a whole photo from the front says of the inseam: joints, and how broad the legs are on their way down.

It says little: trousers hide where the legs part, and the pose model puts hips where they usually are. A line of fifty
features, fitted by `research/lengths.py` to what the girths leave open, makes the inseam's error 4 to 10 % smaller.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wearon.sizing.reader import Linear

FILE = Path(__file__).parent / "lengths.json"


@dataclass(frozen=True, slots=True)
class Legs:
    """How the inseam differs from what stature and girths let expect."""

    longer: float
    """Expected difference of the logarithm."""
    open: float
    """Share of the variance that stays, 0..1."""

    def doubted(self, factor: float) -> "Legs":
        """What it says when the variance of its errors is `factor` times the usual one."""
        told = 1 / self.open - 1
        stays = 1 / (1 + told / factor)
        return Legs(self.longer * (1 - stays) / (1 - self.open), stays)


def read_legs(values: Mapping[str, float]) -> Legs:
    """What the features of a whole picture from the front say."""
    line, stays = _fitted()
    return Legs(line.value(values), stays)


@cache
def _fitted() -> tuple[Linear, float]:
    data: dict[str, Any] = json.loads(FILE.read_text())["legs"]
    return Linear.from_json(data["line"]), float(data["open"])
