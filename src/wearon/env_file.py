"""Whether `.env` can be read at all, before anything is looked for in it."""

import codecs
from pathlib import Path

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
