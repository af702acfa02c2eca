"""The model file of MediaPipe's PoseLandmarker, put together from the weights inside the mediapipe wheel.

The official bundle is a download, which a sealed machine cannot make. But mediapipe 0.10.21 carries both networks
for its older API. The Tasks API wants them in one zip, each with metadata that says how its input is normalised;
the result gives the same landmarks as the older API.

`python -m wearon.pose.bundle` builds the cached bundle ahead of time (the Dockerfile does) and prints its path.
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import platformdirs

BUNDLE_NAME = "pose_landmarker_full-mediapipe-0.10.21.task"
"""Carries the version of the weights: another mediapipe must not find this one's bundle."""

_PARTS = (
    # name in the bundle, weights in the wheel, mean and standard deviation of the input normalisation: the
    # detector takes -1..1, the landmark network 0..1 (the graphs of mediapipe/modules/pose_* say so).
    ("pose_detector.tflite", "pose_detection/pose_detection.tflite", 127.5, 127.5),
    ("pose_landmarks_detector.tflite", "pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
)


def cached_bundle_path() -> Path:
    """Where the bundle lies once it has been built."""
    return platformdirs.user_cache_path("wearon") / BUNDLE_NAME


def ensure_bundle(path: Path | None = None) -> Path:
    """Build the bundle unless it is there; return its path (by default in the user's cache folder).

    Several processes may do this at once: each builds its own and moves it into place in one step.
    """
    path = path or cached_bundle_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(path)
    return path


def _build(path: Path) -> None:
    import mediapipe  # seconds, and only needed here

    modules = Path(mediapipe.__file__).parent / "modules"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    unfinished = Path(name)
    try:
        # Stored, not deflated: the Tasks API maps the parts into memory as they lie in the file.
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as bundle:
            for part, weights, mean, std in _PARTS:
                bundle.writestr(part, _with_normalisation((modules / weights).read_bytes(), mean, std))
        unfinished.chmod(0o644)  # mkstemp makes it private; a container may build as one user and run as another
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _with_normalisation(model: bytes, mean: float, std: float) -> bytes:
    from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

    writer = MetadataWriter.create(bytearray(model))
    writer.add_image_input([mean] * 3, [std] * 3)
    stamped, _ = writer.populate()
    return bytes(stamped)


if __name__ == "__main__":
    # The image's build step: python -m wearon.pose.bundle [PATH]
    print(ensure_bundle(Path(sys.argv[1]) if len(sys.argv) > 1 else None))  # noqa: T201
