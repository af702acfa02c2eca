"""What one feedback says about the recommended size: a value from values, without I/O."""

from enum import StrEnum

from wearon.feedback.estimate_id import Essentials


class Outcome(StrEnum):
    """What became of the garment that was bought."""

    KEPT = "kept"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    RETURNED = "returned"
    """For a reason that is not the size, or is not known."""


class Verdict(StrEnum):
    """Which size was right."""

    RIGHT = "right"
    """The recommended one."""
    LARGER = "larger"
    SMALLER = "smaller"
    OTHER = "other"
    """Not the recommended one; on which side of it is not known."""
    OPEN = "open"
    """The recommended one was not tried, and the one that was bought does not tell."""
    RETURNED = "returned"
    """Nothing is said about sizes."""


def judge(said: Essentials, size_bought: str, outcome: Outcome) -> Verdict:
    """Which size was right, as far as what was bought tells.

    A shopper who knows better than we buys another size. If only those who followed us counted, we would look better
    than we are.
    """
    if outcome is Outcome.RETURNED:
        return Verdict.RETURNED
    if size_bought == said.recommended:
        if outcome is Outcome.KEPT:
            return Verdict.RIGHT
        if not said.is_ladder:
            return Verdict.OTHER
        return Verdict.LARGER if outcome is Outcome.TOO_SMALL else Verdict.SMALLER
    if size_bought in said.larger:
        return Verdict.OPEN if outcome is Outcome.TOO_LARGE else Verdict.LARGER
    if size_bought in said.smaller:
        return Verdict.OPEN if outcome is Outcome.TOO_SMALL else Verdict.SMALLER
    return Verdict.OTHER if outcome is Outcome.KEPT else Verdict.OPEN
