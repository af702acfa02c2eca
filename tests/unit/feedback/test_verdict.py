"""What one feedback says about the recommended size."""

import pytest

from wearon.feedback.estimate_id import Essentials
from wearon.feedback.verdict import Outcome, Verdict, judge

SAID = Essentials(
    nonce="n", day=1, store="", garment="top", smaller=("XS", "S"), recommended="M", larger=("L",), right=710,
    right_is_larger=230,
)  # fmt: skip

KEPT, TOO_SMALL, TOO_LARGE = Outcome.KEPT, Outcome.TOO_SMALL, Outcome.TOO_LARGE


@pytest.mark.parametrize(
    ("bought", "outcome", "verdict"),
    [
        ("M", KEPT, Verdict.RIGHT),
        ("M", TOO_SMALL, Verdict.LARGER),
        ("M", TOO_LARGE, Verdict.SMALLER),
        ("L", KEPT, Verdict.LARGER),
        ("L", TOO_SMALL, Verdict.LARGER),
        ("L", TOO_LARGE, Verdict.OPEN),
        ("XS", KEPT, Verdict.SMALLER),
        ("S", TOO_LARGE, Verdict.SMALLER),
        ("S", TOO_SMALL, Verdict.OPEN),
        ("44", KEPT, Verdict.OTHER),
        ("44", TOO_SMALL, Verdict.OPEN),
        ("44", TOO_LARGE, Verdict.OPEN),
    ],
)
def test_a_garment_that_was_tried_on_tells_which_size_was_right(
    bought: str, outcome: Outcome, verdict: Verdict
) -> None:
    assert judge(SAID, bought, outcome) is verdict


@pytest.mark.parametrize(
    ("bought", "outcome", "verdict"),
    [
        ("W32/L34", KEPT, Verdict.RIGHT),
        ("W32/L34", TOO_SMALL, Verdict.OTHER),
        ("W34/L34", KEPT, Verdict.OTHER),
        ("W34/L34", TOO_LARGE, Verdict.OPEN),
    ],
)
def test_of_two_parts_no_size_is_simply_larger(bought: str, outcome: Outcome, verdict: Verdict) -> None:
    update = {"smaller": (), "recommended": "W32/L34", "larger": (), "is_ladder": False}
    assert judge(SAID.model_copy(update=update), bought, outcome) is verdict


@pytest.mark.parametrize("bought", ["XS", "M", "L", "44"])
def test_one_that_went_back_for_another_reason_tells_nothing(bought: str) -> None:
    assert judge(SAID, bought, Outcome.RETURNED) is Verdict.RETURNED
