"""The model bundle that is put together from mediapipe's own weights."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wearon.pose.bundle import ensure_bundle

pytestmark = pytest.mark.slow


def test_it_is_built_once_however_many_ask_at_once(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "wearon.pose.bundle"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    started = [subprocess.Popen(build, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    (path,) = map(Path, printed)
    assert list(path.parent.iterdir()) == [path]
    with zipfile.ZipFile(path) as bundle:
        assert sorted(bundle.namelist()) == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
        assert all(part.compress_type == zipfile.ZIP_STORED for part in bundle.infolist())
    before = path.stat().st_mtime_ns
    assert ensure_bundle(path) == path
    assert path.stat().st_mtime_ns == before


def test_one_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("wearon.pose.bundle._with_normalisation", fail)
    with pytest.raises(MemoryError):
        ensure_bundle(tmp_path / "pose.task")
    assert list(tmp_path.iterdir()) == []
