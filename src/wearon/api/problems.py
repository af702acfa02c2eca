"""What answers look like that are errors: `Problem`, and `Unprocessable` for every 422."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from wearon.sizing import RefusalCode

MALFORMED = "malformed"
MALFORMED_HINT = "Please check what you have entered, and try again."


class Problem(BaseModel):
    """The body of an answer that is an error."""

    detail: str


class Complaint(BaseModel):
    """What is wrong with one field of the request, as FastAPI says it."""

    type: str
    loc: Annotated[list[str | int], Field(description="Where: body, query or path, then the field")]
    msg: str


class Unprocessable(BaseModel):
    """422: the request is understood, and nothing can be made of it. `code` says which kind it is."""

    detail: Annotated[
        str | list[Complaint],
        Field(description="A list when the request is malformed, and words when there is no person to measure"),
    ]
    code: RefusalCode | Literal["malformed"]
    hint: Annotated[str, Field(description="One sentence for the shopper")]
