"""More examples than usual, or fewer, in the measure of the profile that is in use (`tests/conftest.py`)."""

from hypothesis import settings


def examples(times: float) -> int:
    """So many times those of other tests; a brief run stays brief."""
    return max(1, round(times * settings().max_examples))
