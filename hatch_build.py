"""Records in the wheel and in the source archive which commit they were built from: `wearon --version` tells it.

WEARON_COMMIT says it where there is no clone (the image's build); else git is asked; else nothing is recorded.
"""

import os
import re
import subprocess
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT = re.compile(r"[0-9a-f]{40}(-dirty)?")

RECORD = "wearon/commit.txt"


class CommitHook(BuildHookInterface):
    """Adds `commit.txt` to the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected. An editable installation gets none: the next commit would belie it."""
        source = Path(self.root, "src", RECORD)
        if version == "editable" or source.exists():  # an unpacked source archive has it already
            return
        commit = os.environ.get("WEARON_COMMIT") or self._ask_git()
        if not commit:
            return
        if not COMMIT.fullmatch(commit):
            raise ValueError("WEARON_COMMIT is not the full hash of a commit")
        descriptor, self._record = mkstemp()
        os.write(descriptor, commit.encode())
        os.close(descriptor)
        Path(self._record).chmod(0o644)
        build_data["force_include"][self._record] = RECORD if self.target_name == "wheel" else f"src/{RECORD}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After the archive is written."""
        if record := getattr(self, "_record", None):
            Path(record).unlink()

    def _ask_git(self) -> str | None:
        if not Path(self.root, ".git").exists():
            return None
        command = ["git", "-C", self.root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None
