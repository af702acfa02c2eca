"""What the heading of a column means: "Bust (cm)", "½ Brustweite", "Inside leg in inches"."""

import re
from dataclasses import dataclass

from wearon.chart_files.cells import normal
from wearon.chart_files.sheet import Told
from wearon.chart_files.words import BODY, CHILDREN, FLAT, GARMENT, UNIT_WORDS, WORDS, Meaning, Other
from wearon.sizing.chart import MeasuredOn, Unit
from wearon.sizing.garments import GIRTHS

_PHRASES = {
    tuple(phrase.split()): meaning for meaning, phrases in WORDS.items() for phrase in normal(phrases).split(", ")
}
_LONGEST = max(map(len, _PHRASES))

_AGED = re.compile(
    r"\d{1,2}(?: ?- ?\d{1,2})? ?(?:y|yr|yrs|years?|mths?|months?|jahre?|monate?|ans|mois|años|meses|anni|mesi|jaar)"
)
_MONTHS = re.compile(r"\d{1,2} ?- ?\d{1,2} ?m")
_WORD = re.compile(r"[^\W\d_]+'?[^\W\d_]*|1/2|\"|\d+")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading as it was understood. `laid_flat`: it says so; `measured_on` is body, garment, or None: unsaid."""

    meaning: Meaning | None
    unit: Unit | None
    laid_flat: bool
    measured_on: MeasuredOn | None


def read_heading(text: str) -> Heading:
    """What a heading says. The longest phrase that it holds gives the meaning; of two, the one that stands first."""
    words = _WORD.findall(normal(text[:200]))
    unit = stated_unit(words)
    meaning, _ = max(_meanings(words), key=lambda found: found[1], default=(None, 0))
    flat = bool(FLAT & set(words)) and meaning in GIRTHS
    return Heading(meaning, unit, flat, _measured_on(words, flat=flat))


def _meanings(words: list[str]) -> list[tuple[Meaning, int]]:
    """Every phrase of the table in the words, with its length."""
    if words in (["de"], ["it"]):  # countries, where no other word makes them French or English
        return [(Other.NAME, 1)]
    runs = [tuple(words[start : start + n]) for start in range(len(words)) for n in range(1, _LONGEST + 1)]
    return [(_PHRASES[run], len(run)) for run in runs if run in _PHRASES]


def stated_unit(words: list[str]) -> Unit | None:
    """The unit that the words name; None when none or both are. "in" counts at the end only: "in cm" has it, too."""
    named = {UNIT_WORDS[word] for word in words if word in UNIT_WORDS and word != "in"}
    if not named and words and words[-1] == "in":
        named = {Unit.INCH}
    return named.pop() if len(named) == 1 else None


def read_title(text: str) -> Told:
    """What a line above the table says, such as "Women's jeans, garment laid flat, in cm"."""
    words = _WORD.findall(normal(text[:200]))
    flat = "flat" in words
    return Told(unit=stated_unit(words), measured_on=_measured_on(words, flat=flat), laid_flat=flat or None)


def _measured_on(words: list[str], *, flat: bool) -> MeasuredOn | None:
    if flat or GARMENT & set(words):
        return MeasuredOn.GARMENT
    return MeasuredOn.BODY if BODY & set(words) else None


def is_for_children(text: str) -> bool:
    """Whether a title, heading or size name speaks of children: "Kids", "3-4 years", "6-9M"."""
    plain = normal(text[:200])
    if _AGED.fullmatch(plain) or _MONTHS.fullmatch(plain):
        return True
    return bool(CHILDREN & set(_WORD.findall(plain)))
