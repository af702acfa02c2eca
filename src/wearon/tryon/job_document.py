"""A job as it lies in Redis (arq's form, which older versions of this worker read), and what becomes of one that
cannot be run.

A job that names a function, a progress or a task of a version that is not known here is of a newer worker: it is left
to that one. Any other that cannot be read is settled at once, through the session that its id names.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from wearon.platform.base import Channel
from wearon.tryon.job_queue import GENERATE, REJECT
from wearon.tryon.task import KNOWN_VERSION

PROGRESS_VERSION = 1
"""A newer version that changes what a job is writes a higher `version` into its progress."""

MAX_NAME = 100
"""Characters of a function's name that are worth quoting."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do, and what is known about earlier starts."""

    function: str
    payload: dict[str, Any]
    progress: dict[str, Any]
    enqueued_ms: int


@dataclass(frozen=True, slots=True)
class NewerJob:
    """Only a newer version of this worker can run it."""

    why: str


@dataclass(frozen=True, slots=True)
class BadJob:
    """Nobody can run it."""

    why: str
    request_id: str = ""


def read_job(data: bytes) -> Job | NewerJob | BadJob:
    """Never raises."""
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
    enqueued_ms = found.get("et")
    return Job(function, payload, progress, enqueued_ms if isinstance(enqueued_ms, int) else 0)


def _is_newer(version: object, known: int) -> bool:
    return isinstance(version, int) and version > known


def rejection(job_id: str, bad: BadJob) -> dict[str, Any] | None:
    """What the REJECT function is told, so that it settles the session that the job's id names; None: it names none."""
    *_, channel, owner_id, session_id = ["", "", "", *job_id.split(":")]
    if channel not in set(Channel) or not owner_id or not _is_uuid(session_id):
        return None
    return {
        "channel": channel,
        "owner_id": owner_id,
        "session_id": session_id,
        "request_id": bad.request_id,
        "reason": f"unusable job: {bad.why}",
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
