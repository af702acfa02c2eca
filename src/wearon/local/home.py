"""Local mode's folder (`WEARON_HOME`): nobody else may put anything into it.

A user who can write there decides what is read there as ours, and with a link, where we write.
"""

import os
import stat
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def claim(home: Path) -> None:
    """Make the folder if it is not there, and keep others from writing into it. Raises OSError.

    That others may read it stays as it is: what we put there is for this user alone, file by file.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if objection := object_to(home):
        raise PermissionError(objection)
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & WRITABLE_BY_OTHERS:
        home.chmod(mode & ~WRITABLE_BY_OTHERS)


def object_to(home: Path) -> str | None:
    """Why the folder cannot be ours. One that is not there yet can."""
    if not home.exists():
        return None
    for found in (home.lstat(), home.stat()):  # a link, and where it leads
        if found.st_uid not in {os.geteuid(), 0}:
            return f"it belongs to another user (uid {found.st_uid}), who could change what is in it"
    mode = home.stat().st_mode
    if mode & stat.S_ISVTX and mode & WRITABLE_BY_OTHERS:  # as /tmp: taking that from others would break their work
        return "everybody may write into it: name a folder below it"
    return None
