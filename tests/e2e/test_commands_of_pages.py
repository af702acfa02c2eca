"""The commands of README and pages do what the pages say: each block marked `run` is typed into a copy of the clone.

One worker, started by the documented command, serves them all. What differs from a newcomer's terminal: ports are free
ones instead of 8000 and 6390, and `ID` is the newest session.
"""

import json
import os
import re
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from support.documented import ANSWER_IN_PART, PAGES, ROOT, RUN, SERVE, Block, blocks
from support.processes import INHERITED, WorkerProcess, worker
from support.programs import needs

pytestmark = [pytest.mark.slow, needs("uv"), needs("curl"), needs("redis-cli")]

PLACED = ("pyproject.toml", "uv.lock", "README.md", ".env.example", "src", "tests")
"""What of the clone the commands touch."""

SETTINGS = {
    "PORT": "0",
    "LOCAL_REDIS_PORT": "0",
    "POSE_PROCESSES": "1",
    "PICTURE_PROCESSES": "1",
    "COLUMNS": "200",
    "NO_COLOR": "1",
    "UV_NO_SYNC": "1",
    "UV_OFFLINE": "1",
    "UV_PROJECT_ENVIRONMENT": sys.prefix,
}

BUSY = "Pose estimation service is temporarily unavailable"

ID = re.compile(r"\bID\b(?=\s)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FIGURE = re.compile(r"\d+(\.\d+)?")


class Terminal:
    """A folder like the clone, and a worker that runs in it."""

    def __init__(self, folder: Path, server: WorkerProcess) -> None:
        self._folder = folder
        started = server.wait_for("started")
        self._port = str(started["url"]).rpartition(":")[2].strip("/")
        self._redis_port = str(started["redis"]).rpartition(":")[2].partition("/")[0]

    def type(self, commands: str) -> "subprocess.CompletedProcess[str]":
        """Run commands as bash does that stops at the first failure."""
        commands = commands.replace("localhost:8000", f"localhost:{self._port}")
        commands = commands.replace("-p 6390", f"-p {self._redis_port}")
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self._folder,
            env={**inherited, **SETTINGS},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def type_until_served(self, commands: str) -> "subprocess.CompletedProcess[str]":
        """The same, again while a busy machine measures no photo in time."""
        if ID.search(commands):
            commands = ID.sub(self.newest_session(), commands)
        done = self.type(commands)
        for _ in range(30):
            if BUSY not in done.stdout:
                break
            time.sleep(2)
            done = self.type(commands)
        return done

    def newest_session(self) -> str:
        page: dict[str, Any] = json.loads(self.type("uv run wearon sessions --limit 1 --json").stdout)
        return str(page["sessions"][0]["session_id"])


def test_what_the_pages_show_is_what_happens(tmp_path: Path) -> None:
    for name in PLACED:
        (tmp_path / name).symlink_to(ROOT / name)
    found = [block for page in PAGES for block in blocks(page)]
    starts = {block.text.partition("#")[0].strip() for block in found if block.mark == SERVE}
    assert starts == {"uv run wearon serve"}
    with worker(starts.pop().split(), SETTINGS, tmp_path) as server:
        try:
            server.wait_for("pose processes are warm")
            problems = _untrue(found, Terminal(tmp_path, server))
        finally:
            status = server.stop()  # by uv, whose own end by kill -9 would leave the worker behind
    assert "\n".join(problems) == ""
    assert status == 0
    assert _not_ignored(tmp_path) == []


def _not_ignored(folder: Path) -> list[str]:
    """What the commands have written that git would show in the clone as not its own."""
    written = [f"{path.name}/x" if path.is_dir() else path.name for path in folder.iterdir() if path.name not in PLACED]
    assert written, "nothing was written at all"
    rules = ["-c", f"core.excludesFile={ROOT / '.gitignore'}"]
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    asked = ["git", "-C", str(folder), *rules, "check-ignore", *written]
    ignored = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return sorted(set(written) - set(ignored))


def _untrue(found: list[Block], terminal: Terminal) -> list[str]:
    """What did not happen as shown. Commands that several pages show are typed once."""
    problems: list[str] = []
    typed: dict[str, subprocess.CompletedProcess[str]] = {}
    for block, after in zip_longest(found, found[1:]):
        if block.mark != RUN:
            continue
        if block.text not in typed:
            typed[block.text] = terminal.type_until_served(block.text)
        done = typed[block.text]
        problem = _problem(done, after if after and after.is_answer else None)
        if problem:
            problems.append(f"{block.place}: {problem}\n{done.stdout}\n{done.stderr}")
    return problems


def _problem(done: "subprocess.CompletedProcess[str]", shown: Block | None) -> str:
    if done.returncode != 0 or "Traceback" in done.stderr:
        return f"status {done.returncode}"
    if shown is None:
        return "refused, and the page shows no answer" if '{"detail"' in done.stdout else ""
    return "" if _is_like(done.stdout, shown) else f"another answer than at {shown.place}"


def _is_like(printed: str, shown: Block) -> bool:
    part = shown.mark == ANSWER_IN_PART
    if shown.language == "json":
        return _has_shape(json.loads(printed), json.loads(shown.text), part=part)
    there, wanted = _without_figures(printed), _without_figures(shown.text)
    return wanted <= there if part else wanted == there


def _has_shape(there: object, shown: object, *, part: bool) -> bool:
    """The same names, and the same types below them. Text that is a name for programs may differ, as figures may."""
    if isinstance(shown, dict) and isinstance(there, dict):
        same_names = shown.keys() <= there.keys() if part else shown.keys() == there.keys()
        return same_names and all(_has_shape(there[name], value, part=part) for name, value in shown.items())
    if isinstance(shown, list) and isinstance(there, list):
        pairs = zip(there, shown, strict=False)
        return bool(there) == bool(shown) and all(_has_shape(one, other, part=part) for one, other in pairs)
    numbers = isinstance(there, int | float) and isinstance(shown, int | float)
    return (numbers and isinstance(there, bool) == isinstance(shown, bool)) or type(there) is type(shown)


def _without_figures(text: str) -> set[str]:
    return {" ".join(FIGURE.sub("0", UUID.sub("UUID", line)).split()) for line in text.splitlines() if line.strip()}
