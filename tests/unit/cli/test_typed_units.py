"""Heights and weights as people type them."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from wearon.cli.typed_units import height_cm, weight_kg


@pytest.mark.parametrize(
    ("text", "cm"),
    [
        ("170", 170),
        ("170.5", 170.5),
        ("170,5 cm", 170.5),
        ("1.70m", 170),
        ("1,7 m", 170),
        ("5'7\"", 170.18),
        ("5\u20197\u201d", 170.18),
        ("5'7", 170.18),
        ("5 ft 7.5 in", 171.45),
        ("6 feet", 182.88),
        ("67in", 170.18),
        ('67"', 170.18),
        ("  5' 7''", 170.18),
    ],
)
def test_heights(text: str, cm: float) -> None:
    assert height_cm(text) == pytest.approx(cm)


@pytest.mark.parametrize(
    ("text", "kg"),
    [
        ("70", 70),
        ("70,5kg", 70.5),
        ("140lb", 63.503),
        ("140.5 lbs", 63.73),
        ("10st4", 65.317),
        ("10 st 4 lb", 65.317),
        ("10st", 63.503),
    ],
)
def test_weights(text: str, kg: float) -> None:
    assert weight_kg(text) == pytest.approx(kg, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("67", "too little for cm; name the unit, as in 1.70m, 67in or 5'7\""),
        ("5.7", "too little for cm"),
        ("5'13\"", "has 13 inches; a foot has 12"),
        ("9'", "is 274.3 cm; it must be 100 to 250 cm"),
        ("tall", "is no height; write as in 170, 1.70m, 5'7\" or 67in"),
        ("nan", "is no height"),
        ("1e2", "is no height"),
        ("-170", "is no height"),
        ("", "is no height"),
        ("170\x1b[31m", r"\x1b"),
        ("9" * 99, "is no height"),
    ],
)
def test_what_is_no_height_is_told_in_plain_words(text: str, told: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        height_cm(text)
    assert told in str(refused.value)
    assert str(refused.value).isascii()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10st14", "has 14 pounds; a stone has 14, so write 0 to 13"),
        ("600lb", "is 272.2 kg; it must be 30 to 250 kg"),
        ("20", "it must be 30 to 250 kg"),
        ("light", "is no weight; write as in 70, 140lb or 10st4"),
    ],
)
def test_what_is_no_weight_is_told_in_plain_words(text: str, told: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        weight_kg(text)
    assert told in str(refused.value)


@given(st.integers(1001, 2499).map(lambda tenths: tenths / 10))
def test_a_height_survives_the_way_through_feet_and_inches(cm: float) -> None:
    feet, inches = divmod(cm / 2.54, 12)
    if inches >= 11.99995:
        feet, inches = feet + 1, 0
    assert height_cm(f"{feet:.0f}'{inches:.4f}\"") == pytest.approx(cm, abs=1e-3)
    assert height_cm(f"{cm / 2.54:.4f}in") == pytest.approx(cm, abs=1e-3)
    assert height_cm(f"{cm}") == cm


@given(st.integers(301, 2499).map(lambda tenths: tenths / 10))
def test_a_weight_survives_the_way_through_stones_and_pounds(kg: float) -> None:
    stones, pounds = divmod(kg / 0.45359237, 14)
    if pounds >= 13.99995:
        stones, pounds = stones + 1, 0
    assert weight_kg(f"{stones:.0f}st{pounds:.4f}") == pytest.approx(kg, abs=1e-3)
    assert weight_kg(f"{kg / 0.45359237:.4f}lb") == pytest.approx(kg, abs=1e-3)
    assert weight_kg(f"{kg}kg") == kg
