"""When a photo gives no size at all: why, and what to do about it."""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Why no size can be told from the photo."""

    NO_PERSON = "no_person"
    BODY_OUT_OF_FRAME = "body_out_of_frame"
    NOT_UPRIGHT = "not_upright"
    SIDE_VIEW = "side_view"
    UNCLEAR_BODY = "unclear_body"
    SEVERAL_PEOPLE = "several_people"


_HINTS = {
    RefusalCode.NO_PERSON: "We could not find a person. Please use a photo that shows you from head to toe.",
    RefusalCode.BODY_OUT_OF_FRAME: "Part of you is out of the picture. Please step back until all of you is in it.",
    RefusalCode.NOT_UPRIGHT: "Please stand upright, facing the camera, and take the photo again.",
    RefusalCode.SIDE_VIEW: "Please face the camera, with your shoulders square to it.",
    RefusalCode.UNCLEAR_BODY: "We could not make out your body. Please wear close-fitting clothes, hold your arms a "
    "little away from it, and nothing before it.",
    RefusalCode.SEVERAL_PEOPLE: "There is more than one person in the photo. Please use one of you alone.",
}


class NoPerson(Exception):
    """No full body to be measured: HTTP 422 with the contract's detail, plus `code` and `hint`."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = RefusalCode(code)  # of its value, when it comes from another process

    @property
    def hint(self) -> str:
        """One sentence for the shopper."""
        return _HINTS[self.code]
