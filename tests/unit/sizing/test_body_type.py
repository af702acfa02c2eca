"""The stated rule."""

import pytest

from wearon.sizing.body_type import body_type


@pytest.mark.parametrize(
    ("chest", "waist", "error", "expected"),
    [
        (100, 91, 3, "broad"),
        (100, 75, 3, "athletic"),
        (80, 70, 3, "slim"),
        (90, 80, 3, "average"),
        (110, 92, 3, "broad"),  # the waist decides before the chest does
        (90, 80, 9, None),
    ],
)
def test_table(chest: float, waist: float, error: float, expected: str | None) -> None:
    assert body_type(170, chest, waist, error) == expected
