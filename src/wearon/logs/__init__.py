"""Logs: structlog for our own lines, and lines of the same look for what arq, uvicorn and httpx say.

JSON lines in production, readable ones on a terminal. Whatever is bound with `structlog.contextvars` (a task's
`request_id`, `session_id`, `channel`) stands on every line of that task. Before a line is rendered, what must not be
seen is taken out: secrets, the query of every URL (signed URLs carry their token there), e-mail addresses. Control and
format characters are written as escapes.

Lines that are logged within `keep_lines` are kept besides, as they were after that: for the story of a job that failed.
"""

from wearon.logs.kept_lines import KeptLine, keep_lines
from wearon.logs.lines import configure_logs
from wearon.logs.redaction import Redaction

__all__ = ["KeptLine", "Redaction", "configure_logs", "keep_lines"]
