"""W3C trace context (https://www.w3.org/TR/trace-context/): what `traceparent` says, and whose work this is just now.

What comes in is a stranger's text: whatever is not exactly right counts as absent.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from structlog.contextvars import bound_contextvars

TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]{0,200})?")
"""Version, trace, span, flags. A later version may append something, which we do not understand."""

SAMPLED = 0x01

NOT_OF_A_HEADER = re.compile(r"[^\x21-\x7e]")

NOTHING = re.compile(r"0+")
"""An id of zeros is none."""

MAX_REQUEST_ID = 200
"""As long as a task's may be."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace. The ids are lower-case hex: 32 and 16 digits."""

    trace_id: str
    span_id: str
    sampled: bool = False
    """Whether whoever began the trace records it."""

    @classmethod
    def new(cls, trace_id: str | None = None) -> Self:
        """A trace that nobody handed us, not recorded; with an id of its own unless there is a better one."""
        return cls(trace_id or secrets.token_hex(16), secrets.token_hex(8))

    @property
    def traceparent(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED if self.sampled else 0:02x}"


def parse_traceparent(value: object) -> TraceContext | None:
    """What the value says; None for everything that is no trace context."""
    found = TRACEPARENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or NOTHING.fullmatch(trace_id) or NOTHING.fullmatch(span_id):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & SAMPLED))


@dataclass(frozen=True, slots=True)
class Correlation:
    """Whose work the present task does."""

    request_id: str
    trace: TraceContext


_present: ContextVar[Correlation | None] = ContextVar("wearon_correlation", default=None)


def present() -> Correlation | None:
    """Whose work this is; None outside of jobs and requests."""
    return _present.get()


@contextmanager
def correlated(correlation: Correlation) -> Iterator[None]:
    """Within the block, outgoing calls and log lines belong to it."""
    token = _present.set(correlation)
    try:
        with bound_contextvars(trace_id=correlation.trace.trace_id):
            yield
    finally:
        _present.reset(token)


def outgoing_headers() -> dict[str, str]:
    """`traceparent` and `X-Request-Id` for a call to somebody who may know them; nothing outside of jobs and requests.

    Strangers get neither: a picture's server on the internet has no business with our ids.
    """
    here = present()
    if here is None:
        return {}
    headers = {"traceparent": here.trace.traceparent}
    # A task's request id is any text, and a header is not.
    if request_id := NOT_OF_A_HEADER.sub("_", here.request_id[:MAX_REQUEST_ID]):
        headers["X-Request-Id"] = request_id
    return headers
