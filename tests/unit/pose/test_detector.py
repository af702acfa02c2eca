"""The pose model as it ships, and what mediapipe does beside detecting."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wearon.pose.detector import MODEL, WARM_UP_PICTURE, _asking_for_system_libraries

ROOT = Path(__file__).parents[3]

DETECT_AND_END = f"""
import sys
from PIL import Image
from wearon.pose import Detector

detector = Detector()
print(len(detector.detect(Image.open({str(WARM_UP_PICTURE)!r}))))
if "close" in sys.argv:
    detector.close()
    detector.close()
"""


def test_the_bundle_is_the_one_that_notice_tells_of() -> None:
    (told,) = re.findall(r"SHA-256 of the result:\s+([0-9a-f]{64})", (ROOT / "NOTICE").read_text())
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == told


def test_the_bundles_parts_can_be_mapped_into_memory() -> None:
    with zipfile.ZipFile(MODEL) as bundle:
        assert sorted(bundle.namelist()) == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
        assert all(part.compress_type == zipfile.ZIP_STORED for part in bundle.infolist())


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "leave it open"])
def test_it_writes_nothing_and_ends_in_peace(tmp_path: Path, end: str) -> None:
    """No home, no cache, a folder that stays empty; nothing on the error stream, closed by us or by the end."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", DETECT_AND_END, end], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "1\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there it is linked with them")
@pytest.mark.parametrize("library", ["libEGL.so.1", "libGLESv2.so.2"])
def test_a_machine_without_graphics_libraries_is_told_what_to_install(tmp_path: Path, library: str) -> None:
    (tmp_path / library).touch()  # found first, and none
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", DETECT_AND_END], env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "apt install libegl1 libgles2" in run.stderr.splitlines()[-1]


def test_a_second_opencv_is_told_of_where_it_cannot_be_loaded() -> None:
    with pytest.raises(OSError, match="pip uninstall opencv-contrib-python"), _asking_for_system_libraries():
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")


@pytest.mark.slow
def test_mediapipe_tells_nobody_of_its_use() -> None:
    """It would send Google metrics by way of this proxy, at the start and at the end."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment = {**os.environ, "https_proxy": url, "HTTPS_PROXY": url, "all_proxy": url}
        subprocess.run(
            [sys.executable, "-c", DETECT_AND_END, "close"], env=environment, capture_output=True, check=True
        )
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
