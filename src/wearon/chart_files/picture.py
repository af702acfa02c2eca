"""A chart as a picture: a row for each size, a panel for each measurement, and bars from the smallest to the largest.

What a table hides is seen at once: a size that falls back, a gap, an overlap, a column in another unit.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from wearon.chart_files.cells import in_words
from wearon.chart_files.check import Checked
from wearon.chart_files.sheet import Line, columns_of
from wearon.observability.visible import visible
from wearon.sizing.garments import Column

_ROW, _HEAD, _TITLE, _EDGE = 26, 46, 40, 16
_NAMES, _PANEL, _LABEL = 92, 250, 96
"""Pixels: the column of names, a panel with its bars, and of that what the figures take."""
_LONGEST_NAME = 11

_INK, _QUIET, _LINE = (20, 24, 36), (104, 112, 128), (226, 230, 236)
_PAPER, _STRIPE, _BAR, _OPEN = (255, 255, 255), (246, 248, 250), (0, 136, 214), (150, 205, 240)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Measurements to pixels within a panel."""

    low: float
    high: float
    left: int
    width: int

    def at(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * self.width


def draw_chart(checked: Checked, title: str) -> bytes:
    """The PNG of what was read, also of a chart with problems; the second parts of two-part sizes stand below."""
    parts = [lines for lines in (checked.lines, checked.second_lines) if lines]
    panels = max((len(columns_of(lines)) for lines in parts), default=0)
    height = _TITLE + sum(_HEAD + _ROW * len(lines) for lines in parts) + _EDGE
    sheet = Image.new("RGB", (2 * _EDGE + _NAMES + _PANEL * max(1, panels), height), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    heading = f"{visible(title, keep='')[:40]}   {checked.described}"
    canvas.text((_EDGE, _EDGE), heading, font=_font(17), fill=_INK)
    top = _TITLE
    for lines in parts:
        _draw_part(canvas, lines, top, sheet.width)
        top += _HEAD + _ROW * len(lines)
    buffer = io.BytesIO()
    sheet.quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size=size)


def _draw_part(canvas: ImageDraw.ImageDraw, lines: Sequence[Line], top: int, width: int) -> None:
    first = top + _HEAD
    for number, line in enumerate(lines):
        y = first + number * _ROW
        if number % 2 == 0:
            canvas.rectangle((_EDGE, y, width - _EDGE, y + _ROW - 1), fill=_STRIPE)
        name = visible(line.name, keep="")
        name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        canvas.text((_EDGE + 8, y + _ROW / 2), name, font=_font(15), fill=_INK, anchor="lm")
    for index, column in enumerate(columns_of(lines)):
        _draw_panel(canvas, lines, column, _EDGE + _NAMES + index * _PANEL, top)


def _draw_panel(canvas: ImageDraw.ImageDraw, lines: Sequence[Line], column: Column, left: int, top: int) -> None:
    canvas.text((left, top + 22), column.value, font=_font(15), fill=_INK, anchor="ls")
    bars = left + _LABEL
    ends = [end for line in lines if column in line.readings for end in _ends(line, column)]
    reach = max(max(ends) - min(ends), max(ends) / 20)
    scale = _Scale(min(ends) - reach / 8, max(ends) + reach / 8, bars, _PANEL - _LABEL - 24)
    bottom = top + _HEAD + _ROW * len(lines)
    for value in (min(ends), max(ends)):
        x = scale.at(value)
        canvas.line((x, top + _HEAD - 4, x, bottom), fill=_LINE)
        canvas.text((x, top + _HEAD - 6), f"{value:g}", font=_font(12), fill=_QUIET, anchor="ms")
    for number, line in enumerate(lines):
        y = top + _HEAD + number * _ROW + _ROW / 2
        text = in_words(line.readings.get(column)) or "-"
        canvas.text((left, y), text, font=_font(14), fill=_INK, anchor="lm")
        if column in line.readings:
            _draw_bar(canvas, line, column, scale, y)


def _ends(line: Line, column: Column) -> list[float]:
    reading = line.readings[column]
    return [end for end in (reading.min, reading.max) if end is not None]


def _draw_bar(canvas: ImageDraw.ImageDraw, line: Line, column: Column, scale: _Scale, y: float) -> None:
    """A figure is a dot, a range a bar; where it is open, the bar goes on, paler, to the edge of the panel."""
    reading = line.readings[column]
    low, high = (None if end is None else scale.at(end) for end in (reading.min, reading.max))
    start, end = scale.left if low is None else low, scale.left + scale.width if high is None else high
    if low == high:
        canvas.ellipse((start - 5, y - 5, start + 5, y + 5), fill=_BAR)
        return
    canvas.rectangle((start, y - 5, end, y + 5), fill=_BAR if low is not None and high is not None else _OPEN)
    for closed in (low, high):
        if closed is not None:
            canvas.line((closed, y - 8, closed, y + 8), fill=_BAR, width=2)
