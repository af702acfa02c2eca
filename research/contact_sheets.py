"""Contact sheets of what goes right and what goes wrong on phones' pictures, for docs/sizing.md.

    uv run python research/contact_sheets.py PHONES IMAGES

PHONES holds the second set's pictures. Writes IMAGES/sizing-right.jpg and sizing-wrong.jpg: pairs of pictures with the
answer from the front alone, and from both, of readers that have not seen the person. And the plots of the same answers:
sizing-reliability.png (front) and sizing-errors.png (both).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import views
from PIL import Image, ImageDraw, ImageFont
from tables import read_people, read_table

from wearon.sizing.evaluate import Scored
from wearon.sizing.reader import readers
from wearon.sizing.report import histograms_png, reliability_png

TILE = (120, 190)
SHOWN = 6


def main(pictures: Path, images: Path) -> None:
    people = read_people()
    everybody = readers().people
    said = {}
    for view in ("front", "side"):
        process = views.Process(view, read_table(view, people))
        said[view] = views.left_out_views(process, getattr(readers(), view), everybody)
    fronts, both = (
        views.scored(people, "phones", views.CASES[case], said["front"], said["side"])
        for case in ("front", "front and side")
    )
    (images / "sizing-reliability.png").write_bytes(reliability_png(fronts))
    (images / "sizing-errors.png").write_bytes(histograms_png(both))
    steps = np.array([abs(one.steps) if one.estimate else 9 for one in both])
    sure = np.array([one.estimate.confidence if one.estimate else 0.0 for one in both])
    right = np.argsort(np.where(steps == 0, -sure, 1.0), kind="stable")[:SHOWN]
    wrong = np.argsort(np.where(steps > 0, -steps - sure, 9.0), kind="stable")[:SHOWN]
    for name, chosen in (("right", right), ("wrong", wrong)):
        sheet = _sheet(pictures, [(fronts[i], both[i]) for i in chosen])
        sheet.save(images / f"sizing-{name}.jpg", quality=80)


def _sheet(pictures: Path, answers: Sequence[tuple[Scored, Scored]]) -> Image.Image:
    width, height = TILE
    sheet = Image.new("RGB", (len(answers) * (2 * width + 6), height + 46), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number, (front, both) in enumerate(answers):
        left = number * (2 * width + 6)
        for column, key in enumerate(("image", "side_image")):
            with Image.open(pictures / both.truth[key]) as picture:
                picture.thumbnail(TILE)
                sheet.paste(picture, (left + column * width, 0))
        text = f"{both.truth['size']}, in {both.truth['top']} top, {both.truth['bottom']}"
        canvas.text((left + 2, height + 2), text, "black", font)
        canvas.text((left + 2, height + 24), f"front {_text(front)}   both {_text(both)}", "black", font)
    return sheet


def _text(scored: Scored) -> str:
    found = scored.estimate
    return f"{found.recommended_size} {found.confidence:.2f}" if found else "none"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
