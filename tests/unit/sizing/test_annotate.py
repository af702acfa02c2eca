"""The drawing."""

import io

import numpy as np
from PIL import Image

from support.figures import Figure
from wearon.sizing.annotate import HEIGHT, draw
from wearon.sizing.estimate import Examination, estimated
from wearon.sizing.request import EstimateRequest
from wearon.sizing.sight import Photo, from_the_front


def test_it_shows_the_photo_with_lines_on_it_and_sizes_under_it() -> None:
    request = EstimateRequest(height_cm=170)
    pose, picture = Figure().draw()
    photo = Image.fromarray(picture)
    seen = Photo(photo, picture, [pose])
    front = from_the_front(seen, request)
    examination = Examination(seen, front, None, estimated(front, None, request))
    lines = examination.lines
    assert set(lines) == {"chest_cm", "waist_cm", "hip_cm", "shoulder_cm"}
    assert all(line.start[0] < 160 < line.end[0] for line in lines.values())
    (jpeg,) = draw(examination)
    with Image.open(io.BytesIO(jpeg)) as drawn:
        assert drawn.format == "JPEG"
        assert drawn.height > HEIGHT
        left = (drawn.width - 640) // 2
        inside = np.asarray(drawn.crop((left, 0, left + 640, HEIGHT))).astype(int)
    untouched = np.asarray(photo.resize((640, HEIGHT), Image.Resampling.LANCZOS)).astype(int)
    changed = np.abs(inside - untouched).max(axis=2) > 60
    hip = lines["hip_cm"]
    assert changed[round(hip.start[1] * 2), round(hip.start[0] * 2) + 8 : round(hip.end[0] * 2) - 8].mean() > 0.9
    assert changed.mean() < 0.2
