"""Every regular expression takes time in proportion to its text, whoever wrote that."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

pytestmark = pytest.mark.slow

ENOUGH_S = 60
"""Of a processor, for all patterns: they take 3. One that is quadratic takes minutes by itself."""

AT_ONCE_S = 2


def fed(limit_s: int, *patterns: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "support.worst_texts", *patterns],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s)),
    )


def test_the_worst_texts_are_read_at_once() -> None:
    ended = fed(ENOUGH_S)
    read = ended.stdout.split("\n")
    assert ended.returncode == 0, f"too long: {read[-2:]} {ended.stderr[-2000:]}"
    assert len(read) > 20


@pytest.mark.parametrize(
    "pattern",
    [r"[^\s<>]+@[^\s<>]+", r"\(shopper=(?P<email>[^\s]+)\)\s*$", r"\brefund\(([^)]*)\)", r"\s+$"],
)
def test_one_that_looks_through_the_rest_again_and_again_is_found(pattern: str) -> None:
    assert fed(AT_ONCE_S, pattern).returncode != 0
