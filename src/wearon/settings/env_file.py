"""Whether `.env` can be read at all, and may be believed: it lies in whatever folder one happens to be in."""

import codecs
import re
from collections.abc import Collection
from pathlib import Path

from dotenv import dotenv_values

ENV_FILE = Path(".env")

SENT_TO = (
    ("openai_api_key", "openai_base_url"),
    ("supabase_service_role_key", "supabase_url"),
    ("otel_exporter_otlp_headers", "otel_exporter_otlp_endpoint"),
    ("otel_exporter_otlp_headers", "otel_exporter_otlp_traces_endpoint"),
)
"""Secrets, and the addresses that get them. (`REDIS_URL` has its own password in it.)"""

_VARIABLE = re.compile(r"\$\{([^}:\s]+)")
"""Variables that python-dotenv replaces in a value."""

_UTF_16_OR_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""UTF-32 in the usual order begins as UTF-16 does."""


def problem_with(file: Path) -> str | None:
    """A sentence that says why not, without any of what stands there; None when it can, or is not there."""
    try:
        if file.is_dir():
            return f"{file} is a folder: a container engine makes one where a file to be mounted is missing"
        if not file.is_file():
            return None
        content = file.read_bytes()
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or type(error).__name__}"
    if content.startswith(_UTF_16_OR_32) or b"\0" in content:
        return f"{file} is not UTF-8 text but UTF-16, as PowerShell's > writes it: save it as UTF-8"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"{file} is not UTF-8 text: line {line} holds a character of another encoding. Save it as UTF-8"
    return None


def foreign_uses(file: Path, environment: Collection[str]) -> dict[str, str]:
    """Settings by which the file would get at secrets of the environment, with a sentence about each.

    `environment` are the names of the variables that are set. An address there wins over the file's; a secret of the
    file may go anywhere.
    """
    ours = {name.lower() for name in environment}
    written = dotenv_values(file, interpolate=False, encoding="utf-8-sig") if file.is_file() else {}
    theirs = {name.lower(): value for name, value in written.items() if value and name.lower() not in ours}
    found = {
        secret: f"{secret.upper()} is in the environment, and {address.upper()}, which gets it, in {file}: "
        "put both into one place"
        for secret, address in SENT_TO
        if secret in ours and address in theirs
    }
    for name, value in theirs.items():
        if any(used.lower() in ours for used in _VARIABLE.findall(value)):
            found[name] = f"{name.upper()} in {file} takes in a variable of the environment: write it out"
    return found
