"""From measurements with errors to an answer."""

import pytest

from wearon.sizing.estimate import narrowest_range


@pytest.mark.parametrize(
    ("probabilities", "best", "expected"),
    [
        ([0, 0, 0.95, 0.05], 2, (2, 2)),
        ([0, 0.3, 0.6, 0.1], 2, (1, 3)),
        ([0, 0.35, 0.6, 0.05], 2, (1, 2)),
        ([0.3, 0.25, 0.25, 0.2], 0, (0, 3)),
        ([1.0], 0, (0, 0)),
        ([0.5, 0.4, 0.0999999], 0, (0, 2)),
    ],
)
def test_the_range_is_the_shortest_that_is_sure_enough(
    probabilities: list[float], best: int, expected: tuple[int, int]
) -> None:
    assert narrowest_range(probabilities, 0.93, best) == expected


def test_of_two_ranges_as_short_the_likelier_one_is_taken() -> None:
    assert narrowest_range([0.05, 0.47, 0.47, 0.01], 0.5, 1) == (1, 2)
    assert narrowest_range([0.3, 0.4, 0.2, 0.1], 0.6, 1) == (0, 1)
