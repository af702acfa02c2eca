"""Heights and weights as people type them: 170, 1.70 m, 5'7", 67in; 70, 140lb, 10st4. The estimate knows cm and kg."""

import re

import typer

CM_PER_INCH = 2.54
INCHES_PER_FOOT = 12
KG_PER_POUND = 0.45359237
"""Exactly, by definition, as the inch is."""
POUNDS_PER_STONE = 14

HEIGHTS_CM, WEIGHTS_KG = (100.0, 250.0), (30.0, 250.0)
"""What the estimate answers for."""

_NUMBER = r"(\d{1,3}(?:[.,]\d{1,4})?)"
_CM = re.compile(_NUMBER + r" ?(?:cm)?")
_METRES = re.compile(_NUMBER + r" ?m")
_FEET = re.compile(r"(\d) ?(?:'|ft|feet|foot)(?: ?" + _NUMBER + r" ?(?:\"|''|in|inch|inches)?)?")
_INCHES = re.compile(_NUMBER + r" ?(?:\"|''|in|inch|inches)")
_KG = re.compile(_NUMBER + r" ?(?:kg|kgs|kilos?)?")
_POUNDS = re.compile(_NUMBER + r" ?(?:lb|lbs|pounds?)")
_STONES = re.compile(r"(\d{1,2}) ?(?:st|stones?)(?: ?" + _NUMBER + r" ?(?:lb|lbs|pounds?)?)?")

_QUOTES = str.maketrans({"’": "'", "′": "'", "‘": "'", "”": '"', "″": '"', "“": '"'})  # noqa: RUF001
"""What phones and word processors make of ' and "."""


def height_cm(text: str) -> float:
    """The height in cm; without a unit, cm are meant. Raises typer.BadParameter in plain words."""
    plain = _plain(text)
    if match := _CM.fullmatch(plain):
        value = _number(match.group(1))
        if value < HEIGHTS_CM[0] and "cm" not in plain:
            raise typer.BadParameter(f"{_shown(text)} is too little for cm; name the unit, as in 1.70m, 67in or 5'7\"")
    elif match := _METRES.fullmatch(plain):
        value = _number(match.group(1)) * 100
    elif match := _FEET.fullmatch(plain):
        inches = _number(match.group(2) or "0")
        if inches >= INCHES_PER_FOOT:
            raise typer.BadParameter(f"{_shown(text)} has {inches:g} inches; a foot has 12, so write 0 to 11")
        value = (int(match.group(1)) * INCHES_PER_FOOT + inches) * CM_PER_INCH
    elif match := _INCHES.fullmatch(plain):
        value = _number(match.group(1)) * CM_PER_INCH
    else:
        raise typer.BadParameter(f"{_shown(text)} is no height; write as in 170, 1.70m, 5'7\" or 67in")
    return _within(value, HEIGHTS_CM, "cm", text)


def weight_kg(text: str) -> float:
    """The weight in kg; without a unit, kg are meant. Raises typer.BadParameter in plain words."""
    plain = _plain(text)
    if match := _KG.fullmatch(plain):
        value = _number(match.group(1))
    elif match := _POUNDS.fullmatch(plain):
        value = _number(match.group(1)) * KG_PER_POUND
    elif match := _STONES.fullmatch(plain):
        pounds = _number(match.group(2) or "0")
        if pounds >= POUNDS_PER_STONE:
            raise typer.BadParameter(f"{_shown(text)} has {pounds:g} pounds; a stone has 14, so write 0 to 13")
        value = (int(match.group(1)) * POUNDS_PER_STONE + pounds) * KG_PER_POUND
    else:
        raise typer.BadParameter(f"{_shown(text)} is no weight; write as in 70, 140lb or 10st4")
    return _within(value, WEIGHTS_KG, "kg", text)


def _plain(text: str) -> str:
    return " ".join(text.translate(_QUOTES).casefold().split())


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _within(value: float, limits: tuple[float, float], unit: str, text: str) -> float:
    low, high = limits
    if not low <= value <= high:
        raise typer.BadParameter(f"{_shown(text)} is {value:.1f} {unit}; it must be {low:g} to {high:g} {unit}")
    return value


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 30 else f"{text[:30]}...")
