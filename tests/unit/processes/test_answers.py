"""What a child answers is read as what its function promises, and nothing in it runs."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from wearon.processes.answers import (
    ChildError,
    NotAnAnswer,
    Raised,
    Returned,
    decode,
    encode_raised,
    encode_returned,
    raises,
)


class Size(BaseModel):
    """A model as the children send them."""

    name: str
    chest_cm: float


class OurError(Exception):
    """An error of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def picture() -> bytes:
    return b""


def size() -> Size:
    return Size(name="M", chest_cm=96.5)


@raises(OurError)
def size_and_picture() -> tuple[Size, bytes]:
    return size(), picture()


def nothing() -> None: ...


Plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
Values = st.recursive(
    Plain, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner), max_leaves=20
)


def anything() -> Any: ...


@given(Values)
def test_plain_values_and_bytes_come_back_as_they_were(value: object) -> None:
    assert decode(encode_returned(value), anything) == Returned(value)


def test_an_answer_is_read_as_its_function_promises() -> None:
    sent = (Size(name="M", chest_cm=96.5), b"\xff\xd8\x00")
    assert decode(encode_returned(sent), size_and_picture) == Returned(sent)
    assert decode(encode_returned(b"\0bytes"), picture) == Returned(b"\0bytes")
    assert decode(encode_returned(None), nothing) == Returned(None)
    for wrong in (b"JPEG", {"name": "M"}, "M", [sent[0]]):
        with pytest.raises(NotAnAnswer):
            decode(encode_returned(wrong), size)


def test_what_is_no_value_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="object cannot be sent"):
        encode_returned([object()])


def test_errors_that_the_function_names_and_pythons_own_are_made_again() -> None:
    ours = decode(encode_raised(OurError("is too small")), size_and_picture)
    assert isinstance(ours, Raised)
    assert isinstance(ours.error, OurError)
    assert ours.error.reason == "is too small"
    builtin = decode(encode_raised(MemoryError("no room")), picture)
    assert isinstance(builtin, Raised)
    assert isinstance(builtin.error, MemoryError)


def test_other_errors_are_told_by_their_text() -> None:
    for error, function in ((OurError("is too small"), picture), (json.JSONDecodeError("bad", "x", 0), picture)):
        answer = decode(encode_raised(error), function)
        assert isinstance(answer, Raised)
        assert type(answer.error) is ChildError
        assert type(error).__name__ in str(answer.error)


def test_a_childs_answer_names_no_class_of_the_parents() -> None:
    forged = b'{"error": "os.system", "args": ["true"], "text": ""}'
    framed = (1).to_bytes(8, "big") + len(forged).to_bytes(8, "big") + forged
    answer = decode(framed, picture)
    assert isinstance(answer, Raised)
    assert type(answer.error) is ChildError
    for name in ("SystemExit", "KeyboardInterrupt", "eval"):  # no errors that a call may raise
        forged = json.dumps({"error": name, "args": [], "text": ""}).encode()
        framed = (1).to_bytes(8, "big") + len(forged).to_bytes(8, "big") + forged
        answer = decode(framed, picture)
        assert isinstance(answer, Raised)
        assert type(answer.error) is ChildError


class Bomb:
    """Goes off when somebody unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("unpickled",))


@given(st.binary(max_size=200) | st.just(pickle.dumps(Bomb())))
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        decode(data, size)
