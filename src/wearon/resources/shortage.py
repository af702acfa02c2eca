"""Tells a lack of our own machine from a fault of a picture, a request or a service."""

import errno
import os
import socket
from collections.abc import Iterator

ERRNOS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT}
"""No memory, no descriptors, no process or thread, no room on the disk."""

NO_THREAD = "can't start new thread"
"""Python's own words, of a RuntimeError."""


LOOK_UP_CODES = {socket.EAI_SYSTEM, socket.EAI_MEMORY}
"""Of a name's look-up: "see errno", and no memory."""


def is_shortage(error: BaseException) -> bool:
    """Whether the error came of a lack of memory, descriptors, processes or room on the disk."""
    return any(_is_one(cause) for cause in _causes(error))


def _is_one(error: BaseException) -> bool:
    match error:
        case MemoryError():
            return True
        case socket.gaierror():
            # glibc says "name not known", or "again", also where it could not open the file or socket that it needs.
            return error.errno in LOOK_UP_CODES or _no_descriptor_is_left()
        case OSError():
            return error.errno in ERRNOS
        case RuntimeError():
            return NO_THREAD in str(error)
        case _:
            return False


def _no_descriptor_is_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in ERRNOS
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, those that it groups, and their causes, each once."""
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
