"""Examples for the OpenAPI description of `POST /estimate-body`."""

from typing import Any

from wearon.api.estimate import BAD_URL, FAILED, NO_PERSON, UNAVAILABLE
from wearon.api.problems import MALFORMED, MALFORMED_HINT
from wearon.sizing import Measurements, NoPerson, Question, RefusalCode, SizeEstimate, SizeRange, Source
from wearon.sizing.result import BodyType, NextQuestion

PHOTO = {"image_url": "https://shop.example/me.jpg", "height_cm": 178}

QUESTIONS: dict[str, Any] = {
    "photo": {"summary": "A photo", "value": PHOTO},
    "photos": {
        "summary": "Two photos and a weight",
        "value": {**PHOTO, "side_image_url": "https://shop.example/side.jpg", "weight_kg": 76, "sex": "male"},
    },
    "weight": {"summary": "No photo", "value": {"height_cm": 178, "weight_kg": 76}},
}

SIZE = SizeEstimate(
    recommended_size="M",
    measurements=Measurements(chest_cm=96.5, waist_cm=82.3, hip_cm=98.1, shoulder_cm=39.9),
    confidence=0.71,
    body_type=BodyType.AVERAGE,
    size_range=SizeRange(lower="M", upper="L"),
    standard_errors=Measurements(chest_cm=3.1, waist_cm=3.2, hip_cm=2.4, shoulder_cm=0.9),
    size_probabilities={"XS": 0.0, "S": 0.06, "M": 0.71, "L": 0.23, "XL": 0.0, "XXL": 0.0},
    warnings=(),
    measured_from=(Source.PHOTO, Source.HEIGHT),
    ask_next=(NextQuestion(ask=Question.WEIGHT_KG, narrows_range_by=0.6, message="Tell us your weight."),),
)


def _example(summary: str, value: object) -> dict[str, Any]:
    return {"summary": summary, "value": value}


ANSWERS: dict[str, dict[str, Any]] = {
    "200": {"size": _example("A size", SIZE.model_dump(mode="json"))},
    "400": {"url": _example("No picture can be had", {"detail": BAD_URL})},
    "422": {
        "nobody": _example(
            "No person to measure",
            {
                "detail": NO_PERSON,
                "code": RefusalCode.BODY_OUT_OF_FRAME,
                "hint": NoPerson(RefusalCode.BODY_OUT_OF_FRAME).hint,
            },
        ),
        "malformed": _example(
            "A malformed request",
            {
                "detail": [{"type": "missing", "loc": ["body", "height_cm"], "msg": "Field required"}],
                "code": MALFORMED,
                "hint": MALFORMED_HINT,
            },
        ),
    },
    "500": {"failed": _example("A fault of ours", {"detail": FAILED})},
    "503": {"busy": _example("Too many at once", {"detail": UNAVAILABLE})},
}
