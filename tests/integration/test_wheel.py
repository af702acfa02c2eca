"""The wheel that `uv build` makes: what is in it, and that it knows which commit it was built from."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv, which builds the wheel, is not on the path"),
]

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's build gets of a clone: no .git."""
    folder = tmp_path_factory.mktemp("source")
    for name in re.findall(r"^!(?!\.github|uv\.lock)(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def test_the_wheel_says_its_commit_and_carries_the_models(source: Path, tmp_path: Path) -> None:
    build = ["uv", "build", "--wheel", "--python", sys.executable, "--out-dir", str(tmp_path), str(source)]
    env = os.environ | {"WEARON_COMMIT": COMMIT}
    built = subprocess.run(build, env=env, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0].partition("-")[0] for name in archive.namelist()} == {"wearon"}
        archive.extractall(tmp_path / "installed")
    command = [sys.executable, "-m", "wearon", "--version"]
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    told = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout
    assert f"commit       {COMMIT}\n" in told
    assert "pose_landmarker_full.task" in told
