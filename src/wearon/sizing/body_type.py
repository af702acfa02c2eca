"""Body type, by a rule on the estimated girths.

    broad     the waist is at least 0.53 of the stature
    athletic  otherwise, when the chest is larger than the waist by at least 0.11 of the stature
    slim      otherwise, when the waist is below 0.43 of the stature
    average   otherwise

The waist-to-stature ratio is the measure of build that depends least on sex and height (0.5 is the usual limit to
overweight: Ashwell, Gunn and Gibson 2012).
"""

from wearon.sizing.result import BodyType

MAX_WAIST_ERROR = 0.045
"""Standard error of the waist, of the stature, above which two neighbouring types cannot be told apart."""


def body_type(height_cm: float, chest_cm: float, waist_cm: float, waist_error_cm: float) -> BodyType | None:
    """The type, or None when the waist is too uncertain to say."""
    if waist_error_cm > MAX_WAIST_ERROR * height_cm:
        return None
    if waist_cm >= 0.53 * height_cm:
        return BodyType.BROAD
    if chest_cm - waist_cm >= 0.11 * height_cm:
        return BodyType.ATHLETIC
    if waist_cm < 0.43 * height_cm:
        return BodyType.SLIM
    return BodyType.AVERAGE
