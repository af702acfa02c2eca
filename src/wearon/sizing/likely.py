"""Runs of sizes that are likely enough to hold the true one."""

import itertools
from collections.abc import Sequence

RANGE_PROBABILITY = 0.81
"""Probability from which a run of sizes is wide enough. Whole sizes mostly hold more than is asked for."""


def narrowest_range(probabilities: Sequence[float], enough: float, must_hold: int) -> tuple[int, int]:
    """First and last index of the shortest run around `must_hold` with at least `enough` probability.

    Of several as short the likeliest. All of them when rounding leaves the sum short of `enough`.
    """
    count = len(probabilities)
    # No run is likelier than its sizes' number of the likeliest sizes: shorter ones need not be looked at.
    likeliest = itertools.accumulate(sorted(probabilities, reverse=True))
    shortest = next((width for width, most in enumerate(likeliest, 1) if most >= enough - 1e-9), count)
    for width in range(shortest, count + 1):
        starts = range(max(0, must_hold - width + 1), min(must_hold, count - width) + 1)
        likelihood, start = max((sum(probabilities[start : start + width]), -start) for start in starts)
        if likelihood >= enough:
            return -start, -start + width - 1
    return 0, count - 1
