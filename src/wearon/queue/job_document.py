"""A job as it lies in Redis (arq's form, which older versions of this worker read), and what becomes of one that
cannot be run.

A job that names a function, a progress or a task of a version that is not known here is of a newer worker: it is left
to that one. Any other that cannot be read becomes a dead letter, and the session that its id names is settled at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from wearon.platform.base import Channel, SessionRef
from wearon.queue.jobs import GENERATE, REJECT, Attempt
from wearon.queue.task import KNOWN_VERSION

PROGRESS_VERSION = 1
"""A newer version that changes what a job is writes a higher `version` into its progress."""

MAX_NAME = 100
"""Characters of a function's name that are worth quoting."""

QUOTED_BYTES = 16 * 1024
"""Of what cannot be read, in a dead letter: escaped it is up to four times as long, and a letter is cut at 64 KB."""

FAR = 1e15
"""No number in a job is so large, though moments are in milliseconds."""

N = TypeVar("N", int, float)

QUOTED_ID = 500
"""Characters of a job's id in a dead letter: ours have a hundred."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a job makes its worker do."""

    function: str
    payload: dict[str, Any]
    attempt: Attempt
    """The one that begins when it is read."""
    enqueued_ms: int | None = None
    """None: it stands for a job that cannot be read, so it is not written again."""


@dataclass(frozen=True, slots=True)
class NewerJob:
    """A job that only a newer version of this worker can run."""

    why: str


@dataclass(frozen=True, slots=True)
class BadJob:
    """A job that no worker can run."""

    why: str
    request_id: str = ""


def read_job(data: bytes, number: int = 1, started_at: float | None = None) -> Job | NewerJob | BadJob:
    """The job in a document, with its attempt `number`, or what is wrong with it. Never raises."""
    if not data:
        return BadJob("its data is missing")
    try:
        found = json.loads(data)
        function, arguments = str(found["f"]), list(found["a"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return BadJob("its data cannot be read")
    if function not in {GENERATE, REJECT}:
        why = f"its function {function[:MAX_NAME]!r} is not known"
        return NewerJob(why) if function.isidentifier() and len(function) <= MAX_NAME else BadJob(why)
    payload = arguments[0] if arguments else None
    progress = (arguments[1] if len(arguments) > 1 else None) or {}
    request_id = str(payload.get("request_id") or "")[:MAX_NAME] if isinstance(payload, dict) else ""
    if isinstance(progress, dict) and _is_newer(progress.get("version"), PROGRESS_VERSION):
        return NewerJob("its progress is of a newer version")
    if len(arguments) != 2 or not isinstance(payload, dict) or not isinstance(progress, dict):
        return BadJob("its arguments are not those of its function", request_id)
    if _is_newer(payload.get("version"), KNOWN_VERSION):
        return NewerJob("its task is of a newer version")
    enqueued_ms = _number(found.get("et"))
    return Job(function, payload, _attempt(progress, enqueued_ms, number, started_at), enqueued_ms)


def _attempt(progress: dict[str, Any], enqueued_ms: int, number: int, started_at: float | None) -> Attempt:
    """With what earlier attempts wrote down, perhaps those of a newer worker."""
    return Attempt(
        first_started_at=_number(progress.get("first_started_at"), float),
        rate_limited=_number(progress.get("rate_limited")),
        retried=_number(progress.get("put_back")),
        unanswered=_number(progress.get("unanswered")),
        number=max(1, number),
        queued_at=enqueued_ms / 1000 or None,
        started_at=started_at,
    )


def _number(value: object, kind: type[N] = int) -> N:
    """The number that was written; 0 for anything else, also for one that is none of ours."""
    return kind(value) if isinstance(value, int | float) and 0 <= value < FAR else kind(0)


def _is_newer(version: object, known: int) -> bool:
    return isinstance(version, int) and version > known


def session_of_job(job_id: str) -> str:
    """The session that a job's id names, if it names one."""
    return job_id.rsplit(":", 1)[-1]


def rejection(
    ref: SessionRef, request_id: str, reason: str, traceparent: str | None = None, **more: object
) -> dict[str, Any]:
    """The payload of a REJECT job."""
    return {
        "channel": ref.channel.value,
        "owner_id": ref.owner_id,
        "session_id": ref.session_id,
        "request_id": request_id,
        "reason": reason,
        "traceparent": traceparent,
        **more,
    }


def rejected_session(payload: Mapping[str, Any]) -> SessionRef | None:
    """The session that a REJECT job is about; None: it names none."""
    try:
        ref = SessionRef(Channel(payload["channel"]), payload["owner_id"], str(UUID(payload["session_id"])))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return ref if ref.owner_id else None


def rejection_of_job(job_id: str, bad: BadJob, data: bytes) -> dict[str, Any]:
    """The payload of a REJECT job for the session that a job's id names, if any, with what the dead letter shows."""
    reason = f"unusable job: {bad.why}"
    quoted = {"job_id": job_id[:QUOTED_ID], "data": data[:QUOTED_BYTES].decode(errors="backslashreplace")}
    named = zip(("session_id", "owner_id", "channel"), reversed(job_id.split(":")), strict=False)
    if (ref := rejected_session(dict(named))) is None:
        return {"reason": f"{reason}, and its id names no session", **quoted}
    return rejection(ref, bad.request_id, reason, **quoted)
