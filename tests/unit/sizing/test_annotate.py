"""The drawing."""

import io

import numpy as np
from PIL import Image

from support.figures import Figure
from wearon.sizing.annotate import HEIGHT, draw
from wearon.sizing.coach import inspect
from wearon.sizing.estimate import Examination, conclude
from wearon.sizing.measure import measure
from wearon.sizing.request import EstimateRequest


def test_it_shows_the_photo_with_lines_on_it_and_sizes_under_it() -> None:
    request = EstimateRequest(height_cm=170)
    pose, picture = Figure().draw()
    scene = inspect([pose], picture, request)
    answer = conclude(measure(scene.sighting, scene.frame, request), request)
    photo = Image.fromarray(picture)
    examination = Examination(photo, pose, scene.sighting, answer)
    lines = examination.lines
    assert set(lines) == {"chest_cm", "waist_cm", "hip_cm", "shoulder_cm"}
    assert all(line.start[0] < 160 < line.end[0] for line in lines.values())
    with Image.open(io.BytesIO(draw(examination))) as drawn:
        assert drawn.format == "JPEG"
        assert drawn.height > HEIGHT
        left = (drawn.width - 640) // 2
        inside = np.asarray(drawn.crop((left, 0, left + 640, HEIGHT))).astype(int)
    untouched = np.asarray(photo.resize((640, HEIGHT), Image.Resampling.LANCZOS)).astype(int)
    changed = np.abs(inside - untouched).max(axis=2) > 60
    hip = lines["hip_cm"]
    assert changed[round(hip.start[1] * 2), round(hip.start[0] * 2) + 8 : round(hip.end[0] * 2) - 8].mean() > 0.9
    assert changed.mean() < 0.2
