"""A lack of resources is known by what lies at the bottom of an error."""

import errno

import pytest

from wearon.net.errors import FetchError
from wearon.shortage import is_shortage


def wrapped(cause: Exception, *, chained: bool) -> BaseException:
    try:
        try:
            raise cause
        except Exception:  # noqa: BLE001 (of any kind)
            if chained:
                raise FetchError("could not connect", transient=True) from cause
            raise FetchError("could not connect", transient=True) from None
    except FetchError as error:
        return error


@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize(
    ("cause", "short"),
    [
        (MemoryError(), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (RuntimeError("can't start new thread"), True),
        (ExceptionGroup("all addresses", [OSError(errno.EMFILE, "Too many open files")]), True),
        (OSError(errno.ECONNREFUSED, "Connection refused"), False),
        (TimeoutError(), False),
        (RuntimeError("something else"), False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:40],
)
def test_what_lies_below_counts(cause: Exception, *, chained: bool, short: bool) -> None:
    assert is_shortage(cause) is short
    assert is_shortage(wrapped(cause, chained=chained)) is short
