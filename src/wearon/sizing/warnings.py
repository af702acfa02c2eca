"""The photo coach: what makes an estimate weaker than it could be, as codes and as advice."""

from enum import StrEnum


class WarningCode(StrEnum):
    """What is wrong with the photo, though a size could be told."""

    FEET_OUT_OF_FRAME = "feet_out_of_frame"
    HEAD_OUT_OF_FRAME = "head_out_of_frame"
    TURNED_AWAY = "turned_away"
    BACK_VIEW = "back_view"
    ARMS_AGAINST_BODY = "arms_against_body"
    ARMS_RAISED = "arms_raised"
    TOO_DARK = "too_dark"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    SEVERAL_PEOPLE = "several_people"
    LOOSE_CLOTHING = "loose_clothing"
    SITTING = "sitting"
    TILTED = "tilted"
    CHILD_LIKE_PROPORTIONS = "child_like_proportions"
    STRETCHED = "stretched"
    BODY_PARTLY_HIDDEN = "body_partly_hidden"
    UNUSUAL_PROPORTIONS = "unusual_proportions"
    PHOTO_NOT_USED = "photo_not_used"
    SIDE_PHOTO_NOT_USED = "side_photo_not_used"
    PHOTOS_SWAPPED = "photos_swapped"


ADVICE = {
    WarningCode.FEET_OUT_OF_FRAME: "Step back a little so that your feet are in the picture.",
    WarningCode.HEAD_OUT_OF_FRAME: "Step back a little so that your whole head is in the picture.",
    WarningCode.TURNED_AWAY: "Turn to face the camera squarely.",
    WarningCode.BACK_VIEW: "Turn around to face the camera.",
    WarningCode.ARMS_AGAINST_BODY: "Hold your arms a little away from your body.",
    WarningCode.ARMS_RAISED: "Let your arms hang down, a little away from your body.",
    WarningCode.TOO_DARK: "Find a brighter place, or turn on a light.",
    WarningCode.TOO_SMALL: "Come closer, or use a larger photo: you should fill most of its height.",
    WarningCode.BLURRED: "The photo is blurred: hold the phone still, or lean it on something.",
    WarningCode.SEVERAL_PEOPLE: "There are others in the photo; we measured the one in front. Best be alone in it.",
    WarningCode.LOOSE_CLOTHING: "Loose clothes hide your shape: a closer-fitting top gives a better size.",
    WarningCode.SITTING: "Stand up straight, with your legs stretched.",
    WarningCode.TILTED: "Hold the camera level and stand upright.",
    WarningCode.CHILD_LIKE_PROPORTIONS: "This looks like a child; our sizes are for adults.",
    WarningCode.STRETCHED: "The photo looks squeezed or stretched: please send it as your phone took it.",
    WarningCode.BODY_PARTLY_HIDDEN: "Something hides part of your body: nothing should be between you and the camera.",
    WarningCode.UNUSUAL_PROPORTIONS: "Please check your height: it does not seem to go with the photo.",
    WarningCode.PHOTO_NOT_USED: "We could not measure you in the photo: the size comes from what you told us.",
    WarningCode.SIDE_PHOTO_NOT_USED: "The photo from the side could not be used: please stand sideways, all in it.",
    WarningCode.PHOTOS_SWAPPED: "The photos from the front and from the side were swapped; we used both.",
}
"""One friendly sentence for the shopper for each code."""
