"""Draw the pictures of docs/charts.md: uv run python scripts/chart_pictures.py docs/images

The charts are drawn by the code of `wearon chart check --out`, from the files of the tests.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from wearon.chart_files import check_chart, draw_chart

CHARTS = Path(__file__).parents[1] / "tests" / "data" / "charts"

FAULTY = """Size;Chest (cm);Waist (cm)
S;84-91;68-75
M;92-99;30-33
L;100-107;84-91
XL;112-119;88-99
"""
"""A waist in inches, a gap in the chest, an overlap in the waist."""

FINE = 3
"""Drawn so many times larger, and made smaller: lines without steps."""

INK, CLOTH, EDGE, LINE = (20, 24, 36), (222, 233, 242), (120, 140, 160), (214, 64, 32)
BODY, GARMENT, PAPER = (96, 112, 132), (0, 136, 214), (255, 255, 255)

Point = tuple[float, float]

NECK = (160, 50), (175, 66), (200, 72), (225, 66), (240, 50)
RIGHT_SIDE = (300, 75), (370, 165), (325, 195), (282, 150), (278, 260), (284, 380)
LEFT_SIDE = (116, 380), (122, 260), (118, 150), (75, 195), (30, 165), (100, 75)
SHIRT = (*NECK, *RIGHT_SIDE, *LEFT_SIDE)
RIGHT_LEG = (610, 50), (626, 130), (634, 250), (616, 420), (566, 420), (541, 195)
TROUSERS = ((470, 50), *RIGHT_LEG, (539, 195), (514, 420), (464, 420), (446, 250), (454, 130))


class Sheet:
    """A drawing in plain pixels, kept FINE times larger."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * FINE, height * FINE), PAPER)
        self.canvas = ImageDraw.Draw(self.image)

    def polygon(self, points: Sequence[Point]) -> None:
        """An outline of cloth."""
        large = [(x * FINE, y * FINE) for x, y in points]
        self.canvas.polygon(large, fill=CLOTH)
        self.canvas.line([*large, large[0]], fill=EDGE, width=2 * FINE, joint="curve")

    def measure(self, start: Point, end: Point, letter: str, at: Point) -> None:
        """A measuring line with its letter."""
        self.line(start, end, LINE)
        for x, y in (start, end):
            self.canvas.ellipse([(x - 3) * FINE, (y - 3) * FINE, (x + 3) * FINE, (y + 3) * FINE], fill=LINE)
        self.text(at, letter, 17, LINE, "mm")

    def line(self, start: Point, end: Point, colour: tuple[int, int, int]) -> None:
        """A line."""
        self.canvas.line([(x * FINE, y * FINE) for x, y in (start, end)], fill=colour, width=2 * FINE)

    def bar(self, box: tuple[float, float, float, float], colour: tuple[int, int, int]) -> None:
        """A filled rectangle."""
        self.canvas.rectangle([edge * FINE for edge in box], fill=colour)

    def text(self, at: Point, text: str, size: int, colour: tuple[int, int, int] = INK, anchor: str = "la") -> None:
        """A text."""
        font = ImageFont.load_default(size=size * FINE)
        self.canvas.text((at[0] * FINE, at[1] * FINE), text, font=font, fill=colour, anchor=anchor)

    def save(self, path: Path) -> None:
        """As a small PNG."""
        size = self.image.width // FINE, self.image.height // FINE
        self.image.resize(size, Image.Resampling.LANCZOS).quantize(48).save(path, optimize=True)


def laid_flat() -> Sheet:
    """A T-shirt and trousers laid flat, with what to measure."""
    sheet = Sheet(860, 470)
    sheet.polygon(SHIRT)
    sheet.measure((119, 160), (281, 160), "A", (200, 148))
    sheet.measure((122, 260), (278, 260), "B", (200, 248))
    sheet.measure((116, 374), (284, 374), "C", (200, 362))
    sheet.measure((100, 88), (300, 88), "D", (200, 99))
    sheet.measure((306, 68), (376, 158), "E", (352, 104))
    sheet.measure((240, 50), (240, 380), "F", (252, 310))
    sheet.polygon(TROUSERS)
    sheet.measure((470, 56), (610, 56), "B", (540, 68))
    sheet.measure((451, 150), (629, 150), "C", (540, 138))
    sheet.measure((541, 195), (566, 420), "G", (568, 320))
    lines = ("A  chest, armpit to armpit", "B  waist, where it is narrowest", "C  hip, where it is widest")
    lines += (
        "D  shoulder, seam to seam",
        "E  sleeve, seam to cuff",
        "F  length, collar to hem",
        "G  inseam, crotch to hem",
    )
    for number, line in enumerate(lines):
        sheet.text((662, 92 + 34 * number), line, 14)
    sheet.text((30, 430), "A, B and C are half of the way round: “laid flat”.", 14)
    return sheet


def ease() -> Sheet:
    """A body and three garments around it."""
    sheet = Sheet(860, 220)
    left, per_cm = 190, 4.4
    rows = (
        ("the body", 96, BODY),
        ("a tight T-shirt", 98, GARMENT),
        ("a regular shirt", 108, GARMENT),
        ("a loose sweater", 118, GARMENT),
    )
    for number, (name, cm, colour) in enumerate(rows):
        y = 26 + 46 * number
        sheet.text((left - 14, y + 13), name, 15, anchor="rm")
        sheet.bar((left, y, left + cm * per_cm, y + 26), colour)
        told = f"{cm} cm" if number == 0 else f"{cm} cm: {cm - 96} cm of ease"
        sheet.text((left + cm * per_cm + 10, y + 13), told, 14, anchor="lm")
    sheet.line((left + 96 * per_cm, 14), (left + 96 * per_cm, 206), LINE)
    return sheet


def main(folder: Path) -> None:
    """Write all pictures into the folder."""
    for name, file in (
        ("body", "eu_women_letters.csv"),
        ("jeans", "jeans_waist_and_length.csv"),
        ("flat", "t_shirt_side_by_side.csv"),
    ):
        (folder / f"chart-{name}.png").write_bytes(draw_chart(check_chart((CHARTS / file).read_bytes()), file))
    (folder / "chart-faulty.png").write_bytes(draw_chart(check_chart(FAULTY.encode()), "faulty.csv"))
    laid_flat().save(folder / "chart-laid-flat.png")
    ease().save(folder / "chart-ease.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
