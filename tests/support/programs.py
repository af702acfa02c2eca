"""Other programs' own checks of files that are for them."""

import shutil
import subprocess

import pytest

from wearon.app.serve import API_CLOSE_S

AFTER_GRACE_S = API_CLOSE_S + 5
"""What a process needs after SHUTDOWN_GRACE_S at most: answers under way, jobs handed back, the lease released."""


def run(*command: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    """The program's words and exit status, when that is typed."""
    return subprocess.run(command, input=answer, capture_output=True, text=True, timeout=60, check=False)


def needs(program: str) -> pytest.MarkDecorator:
    """For tests that are left out where the program is not installed (scripts/test-services.sh)."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
