"""The text of one cell becomes a number or a range: "86-91 cm", "34 1/2", "up to 92", "120+", "86,5"."""

import re
from dataclasses import dataclass

from wearon.chart_files.problems import quoted
from wearon.sizing.chart import Unit

LONGEST_CELL = 60
"""Characters: the longest range in words has thirty."""


class UnreadableCell(ValueError):
    """The message says what stands there and what to write instead."""


@dataclass(frozen=True, slots=True)
class Reading:
    """From `min` to `max`; one that is None is open, and a single number is both. `unit` is None when unsaid."""

    min: float | None
    max: float | None
    unit: Unit | None = None

    @property
    def middle(self) -> float:
        """The number that stands for the whole: of an open reading its only end."""
        ends = [end for end in (self.min, self.max) if end is not None]
        return sum(ends) / len(ends)

    def times(self, factor: float) -> "Reading":
        """The reading with both ends multiplied."""
        low, high = (None if end is None else round(end * factor, 2) for end in (self.min, self.max))
        return Reading(low, high, self.unit)


_EMPTY = frozenset({"", "-", "--", "n/a", "na", "n.a.", "none", "k.a."})
"""What shops write where there is nothing to write."""

_LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),  # noqa: RUF001 the hyphens and dashes of spreadsheets
        **dict.fromkeys("″”“„＂", '"'),  # noqa: RUF001
        **dict.fromkeys("′’‘", "'"),  # noqa: RUF001
    }
    | {"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8"}
    | {"≤": "<", "≥": ">", "\u2044": "/"}
)

_NUMBER = r"(\d{1,4}(?:[.,]\d{1,4})?(?: [1-7]/[248])?)"
_BETWEEN = r" ?(?:-|to|bis|tot|until|à|a|and|/|\.\.) ?"
_UP_TO = r"(?:up to|to|max\.?|under|below|less than|<=?|bis|unter|höchstens|jusqu'à|hasta|fino a|tot) ?"
_FROM = r"(?:over|from|above|min\.?|more than|at least|>=?|ab|über|mindestens|plus de|desde|da|vanaf) ?"

_SINGLE = re.compile(_NUMBER)
_RANGE = re.compile(_NUMBER + _BETWEEN + _NUMBER)
_AT_MOST = re.compile(_UP_TO + _NUMBER + "|" + _NUMBER + r" ?(?:or less|and under|and below)")
_AT_LEAST = re.compile(_FROM + _NUMBER + "|" + _NUMBER + r" ?(?:\+|or more|and over|and up|and above)")
_UNITS = re.compile(
    r"(?<![a-z])(?:(cm|centimet(?:er|re)s?)|in(?:ch(?:es)?|s)?|zoll|pouces?|pulgadas?)(?![a-z])\.?|\"|''"
)
_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]{0,6}"
_DATE = re.compile(r"(?:\d{1,2}[-. /]{1,2})?" + _MONTH + r"\.?(?:[- ]\d{1,4})?")


def normal(text: str) -> str:
    """The text in small letters with single spaces, one kind of dash and one of quotation mark."""
    return " ".join(text.translate(_LOOKALIKES).casefold().split())


def read_cell(text: str) -> Reading | None:
    """What a cell says; None when it is empty. Raises UnreadableCell."""
    if len(text) > LONGEST_CELL:
        raise UnreadableCell(f"{quoted(text)} is too long for a measurement")
    plain = normal(text)
    if plain in _EMPTY:
        return None
    units = {Unit.CM if match.group(1) else Unit.INCH for match in _UNITS.finditer(plain)}
    if len(units) > 1:
        raise UnreadableCell(f"{quoted(text)} has both cm and inches; keep one of them")
    unit = next(iter(units), None)
    bare = " ".join(_UNITS.sub(" ", plain).split())
    reading = _read_bare(bare, unit)
    if reading is None:
        raise UnreadableCell(_why_not(text, plain))
    if reading.min is not None and reading.max is not None and reading.min > reading.max:
        raise UnreadableCell(f"{quoted(text)} begins above its end; write the smaller number first")
    if not all(0 < end < 1000 for end in (reading.min, reading.max) if end is not None):
        raise UnreadableCell(f"{quoted(text)} is no measurement of clothes or people")
    return reading


def _read_bare(text: str, unit: Unit | None) -> Reading | None:
    if match := _SINGLE.fullmatch(text):
        return Reading(_number(match.group(1)), _number(match.group(1)), unit)
    if match := _RANGE.fullmatch(text):
        return Reading(_number(match.group(1)), _number(match.group(2)), unit)
    if match := _AT_MOST.fullmatch(text):
        return Reading(None, _number(match.group(1) or match.group(2)), unit)
    if match := _AT_LEAST.fullmatch(text):
        return Reading(_number(match.group(1) or match.group(2)), None, unit)
    return None


def _number(text: str) -> float:
    whole, _, fraction = text.replace(",", ".").partition(" ")
    if not fraction:
        return float(whole)
    above, below = fraction.split("/")
    return float(whole) + int(above) / int(below)


def _why_not(text: str, plain: str) -> str:
    if plain.startswith(("=", "@")):
        return f"{quoted(text)} is a formula, and none is worked out here; write its value"
    if plain.startswith("-"):
        return f"{quoted(text)} is negative; for an open range write “up to {plain[1:].strip()}”"
    if _DATE.fullmatch(plain):
        return (
            f"{quoted(text)} is a date that a spreadsheet made of a range; format the column as text and type it again"
        )
    if any(unit in plain for unit in ("mm", "ft", "feet", "'")):
        return f"{quoted(text)} is neither in cm nor in inches"
    return f"{quoted(text)} is no measurement; write a number, or a range such as 86-91, “up to 92” or “over 120”"


def in_words(reading: Reading | None) -> str:
    """ "92", "86-91", "up to 92", "over 120", or nothing."""
    if reading is None:
        return ""
    low, high = (None if end is None else f"{end:g}" for end in (reading.min, reading.max))
    if low is None:
        return f"up to {high}"
    if high is None:
        return f"over {low}"
    return low if low == high else f"{low}-{high}"


def unit_in_words(unit: Unit) -> str:
    """ "cm" or "inches": "in in" reads badly."""
    return "inches" if unit is Unit.INCH else "cm"
