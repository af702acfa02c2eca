"""`wearon --version`: which code this is, and which models it measures and asks with."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from wearon.tryon.openai.models import DEFAULT_MODEL

PACKAGE = Path(__file__).parents[1]

RECORD = PACKAGE / "commit.txt"
"""Written into the wheel by `hatch_build.py`; a clone has none."""

POSE_MODEL = PACKAGE / "pose" / "pose_landmarker_full.task"

SIZE_MODELS = sorted((PACKAGE / "sizing").glob("*.json"))

GIT_S = 5.0


def versions() -> Iterator[str]:
    """One line each; the first is the program's name and version alone."""
    yield f"wearon {version('wearon')}"
    yield f"commit       {commit()}"
    yield f"image model  {DEFAULT_MODEL}, unless OPENAI_MODEL names another"
    yield f"pose model   {POSE_MODEL.name}, SHA-256 {_sha256(POSE_MODEL)}, unless POSE_MODEL_PATH names another"
    for model in SIZE_MODELS:
        made_from = json.loads(model.read_bytes())["provenance"]["data"]
        yield f"size model   {model.name}, SHA-256 {_sha256(model)}, made from {made_from}"
    yield f"Python       {platform.python_version()}, mediapipe {version('mediapipe')}"


def commit() -> str:
    """The commit that this code is of, or in words why it is not known."""
    if RECORD.exists():
        return RECORD.read_text().strip()
    clone = PACKAGE.parents[1]
    if (clone / ".git").exists() and clone / "src" / "wearon" == PACKAGE:
        return f"{_ask_git(clone) or 'unknown: git does not tell'} (a clone)"
    return "unknown: the build recorded none"


def _ask_git(clone: Path) -> str | None:
    """The commit that is checked out, with `-dirty` behind it when files of the clone differ from it."""
    command = ["git", "-C", str(clone), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
