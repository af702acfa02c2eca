"""What a child process answers, as bytes that run nothing in the process that reads them.

A child decodes pictures from outside. A picture that takes it over writes what it likes into its answers, and pickle
would run that in the process that has all the keys. So an answer is JSON with raw pictures behind it, and is read as
the function's return type says: plain values, `bytes`, tuples, lists and mappings of them, and pydantic models. Only
Python's own errors are made again, and those that the function names with `raises`.

    ChildError    what a function raised that is none of these
    NotAnAnswer   bytes that are no answer of this function
"""

import builtins
import functools
import json
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

P = ParamSpec("P")
R = TypeVar("R")

MAX_ERROR_CHARACTERS = 2000
"""Limit for one argument of an error: a message must not quote a whole picture."""

_BYTES = "\0bytes"
"""Key of the object that stands for bytes; JSON of ours has no NUL in a key."""

_LENGTH = struct.Struct("!Q")

_BUILT_IN: dict[str, type[Exception]] = {
    name: kind for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)
}


class ChildError(Exception):
    """A child's error that is not known here; its text names the kind."""


class NotAnAnswer(ValueError):
    """These bytes are no answer, or none that the function promises. The text quotes nothing of them."""


@dataclass(frozen=True, slots=True)
class Returned(Generic[R]):
    """What a function returned."""

    value: R


@dataclass(frozen=True, slots=True)
class Raised:
    """What a function raised, as a value: the caller may have gone, and an exception would be lost."""

    error: Exception


def raises(*kinds: type[Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Name the errors of ours that a function for child processes raises: each is made of its `args` again."""

    def name(function: Callable[P, R]) -> Callable[P, R]:
        vars(function)["raises"] = kinds
        return function

    return name


def encode_returned(value: object) -> bytes:
    """The answer of a function that returned. Raises TypeError or ValueError for what is no answer."""
    blobs: list[bytes] = []

    def plain(item: object) -> object:
        if hasattr(item, "model_dump"):
            dumped: object = item.model_dump()
            return dumped
        if isinstance(item, bytes | bytearray | memoryview):
            blobs.append(bytes(item))
            return {_BYTES: len(blobs) - 1}
        raise TypeError(f"{type(item).__name__} cannot be sent to another process")

    head = json.dumps({"value": value}, default=plain)
    return _framed(head, blobs)


def encode_raised(error: Exception) -> bytes:
    """The answer of a function that raised."""
    args = [_short(arg) for arg in error.args]
    return _framed(json.dumps({"error": type(error).__name__, "args": args, "text": _short(str(error))}), [])


def decode(answer: bytes, function: Callable[..., R]) -> Returned[R] | Raised:
    """The answer of `function`, which the reader has, too. Raises NotAnAnswer."""
    head, blobs = _unframed(answer)
    try:
        content = json.loads(head, object_hook=functools.partial(_with_bytes, blobs=blobs))
        if "error" in content:
            return Raised(_error(content, vars(function).get("raises", ())))
        adapter = _adapter(function.__annotations__.get("return", Any))
        return Returned(adapter.validate_python(content["value"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NotAnAnswer(type(error).__name__) from None


def _error(content: dict[str, Any], known: Sequence[type[Exception]]) -> Exception:
    kinds = {**_BUILT_IN, **{kind.__name__: kind for kind in known}}
    name = str(content["error"])
    with suppress(Exception):  # an error's constructor may refuse what it is given in any way
        if name in kinds:
            return kinds[name](*content["args"])
    return ChildError(f"{name}: {content['text']}")


def _short(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return str(value)[:MAX_ERROR_CHARACTERS]


def _with_bytes(found: dict[str, Any], blobs: Sequence[bytes]) -> object:
    return blobs[found[_BYTES]] if found.keys() == {_BYTES} else found


def _framed(head: str, blobs: Sequence[bytes]) -> bytes:
    """Number and lengths of the parts, then the parts: the head and the blobs."""
    parts = [head.encode(), *blobs]
    return b"".join([_LENGTH.pack(len(parts)), *(_LENGTH.pack(len(part)) for part in parts), *parts])


def _unframed(answer: bytes) -> tuple[bytes, Sequence[bytes]]:
    view = memoryview(answer)
    try:
        (count,) = _LENGTH.unpack_from(view)
        if not 1 <= count <= len(view) // _LENGTH.size:
            raise NotAnAnswer("its parts")
        lengths = struct.unpack_from(f"!{count}Q", view, _LENGTH.size)
    except struct.error as error:
        raise NotAnAnswer("too short") from error
    start = _LENGTH.size * (count + 1)
    if start + sum(lengths) != len(view):
        raise NotAnAnswer("its length")
    parts: list[bytes] = []
    for length in lengths:
        parts.append(bytes(view[start : start + length]))
        start += length
    return parts[0], parts[1:]


@functools.lru_cache(maxsize=64)
def _adapter(returns: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter  # 10 MB that the children do without: only their parent reads answers

    return TypeAdapter(returns)
