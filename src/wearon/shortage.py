"""Telling our own lack of resources from a fault of somebody else's picture, request or service."""

import errno
from collections.abc import Iterator

ERRNOS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT}
"""No memory, no descriptors, no process or thread, no room on the disk."""

NO_THREAD = "can't start new thread"
"""Python's own words, of a RuntimeError."""


def is_shortage(error: BaseException) -> bool:
    """Whether there was a lack of memory, descriptors, processes or room on the disk at the bottom of it."""
    return any(_is_one(cause) for cause in _causes(error))


def _is_one(error: BaseException) -> bool:
    match error:
        case MemoryError():
            return True
        case OSError():
            return error.errno in ERRNOS
        case RuntimeError():
            return NO_THREAD in str(error)
        case _:
            return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was made of and what it came of, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
        waiting += [cause for cause in (found.__cause__, found.__context__) if cause is not None]
