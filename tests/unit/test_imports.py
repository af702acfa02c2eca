"""What the process that serves does not import: it would pay for it in start-up time and memory, and never use it."""

import gc
import subprocess
import sys

import pytest

from wearon.cli.lazy import nothing_collected

HEAVY = {
    "cv2": "only the pose processes measure",
    "numpy": "only the pose processes measure",
    "mediapipe": "only the pose processes infer",
    "supabase": "imported when it is connected to",
    # Not the whole SDK: where it is installed, redis-py imports its metrics.
    "opentelemetry.sdk.trace": "imported when traces are wanted",
    "opentelemetry.exporter": "imported when traces are wanted",
}


@pytest.mark.slow
def test_serving_imports_nothing_that_it_does_not_use() -> None:
    code = "import sys, wearon.cli.app, wearon.cli.serve, wearon.app.serve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "wearon.api.estimate" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_garbage_is_not_looked_for_between_imports_and_again_after_them() -> None:
    with nothing_collected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), nothing_collected():
        raise ImportError
    assert gc.isenabled()
