"""A lack of resources is known by what lies at the bottom of an error."""

import errno
import socket
import subprocess
import sys

import pytest

from wearon.net.errors import FetchError
from wearon.resources.shortage import is_shortage


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
        (socket.gaierror(socket.EAI_SYSTEM, "System error"), True),
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (OSError(errno.ECONNREFUSED, "Connection refused"), False),
        (TimeoutError(), False),
        (RuntimeError("something else"), False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:40],
)
def test_what_lies_below_counts(cause: Exception, *, chained: bool, short: bool) -> None:
    assert is_shortage(cause) is short
    assert is_shortage(wrapped(cause, chained=chained)) is short


LOOK_UP = """
import encodings.idna, resource, socket, sys
from wearon.resources.shortage import is_shortage

def fails(host, flags=0):
    try:
        socket.getaddrinfo(host, 80, flags=flags)
    except OSError as error:
        return is_shortage(error)

if sys.argv[1] == "known":
    socket.getaddrinfo("localhost", 80)  # what it reads, it has read
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
without = [fails("name.example"), fails("localhost")]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(without, fails("name.example", socket.AI_NUMERICHOST))  # not known, and nobody is asked
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what glibc says")
@pytest.mark.parametrize("resolver", ["known", "new"])
def test_a_look_up_without_a_descriptor_is_known_for_what_it_is(resolver: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOOK_UP, resolver], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "[True, True] False\n"
