"""Readings and units as people write them."""

from wearon.chart_files.cells import Reading
from wearon.sizing.chart import Unit


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
