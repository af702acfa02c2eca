# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["mediapipe==0.10.21", "numpy<2", "opencv-python-headless<4.12"]
#
# [tool.uv]
# # What mediapipe asks for and its metadata writer never needs: half a gigabyte.
# override-dependencies = [
#     "jax ; sys_platform == 'never'",
#     "jaxlib ; sys_platform == 'never'",
#     "sentencepiece ; sys_platform == 'never'",
#     "sounddevice ; sys_platform == 'never'",
#     "opencv-contrib-python ; sys_platform == 'never'",
# ]
# ///
"""Make the pose model's bundle that ships in the package, out of the weights inside mediapipe 0.10.21's wheel.

    uv run --locked --script scripts/make_pose_bundle.py

The official bundle is a download that a sealed machine cannot make, and newer wheels carry no weights. 0.10.21 has both
networks for its older API. The Tasks API wants them in one zip, each with metadata that says how its input is
normalised; the result gives the same landmarks as the older API.

The lock file beside this script pins that wheel (and all that it needs) by hash, and the same wheel makes the same
bytes: NOTICE says where they come from and has their SHA-256, which a test compares.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

import mediapipe
from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

BUNDLE = Path(__file__).parents[1] / "src" / "wearon" / "pose" / "pose_landmarker_full.task"

PARTS = (
    # name in the bundle, weights in the wheel, mean and standard deviation of the input normalisation: the
    # detector takes -1..1, the landmark network 0..1 (the graphs of mediapipe/modules/pose_* say so).
    ("pose_detector.tflite", "pose_detection/pose_detection.tflite", 127.5, 127.5),
    ("pose_landmarks_detector.tflite", "pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
)


def main(path: Path) -> None:
    """Write the bundle and print its SHA-256."""
    modules = Path(mediapipe.__file__).parent / "modules"
    # Stored, not deflated: the Tasks API maps the parts into memory as they lie in the file.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for part, weights, mean, std in PARTS:
            # ZipInfo's default date, 1980: the same bytes whenever it is made.
            bundle.writestr(zipfile.ZipInfo(part), with_normalisation((modules / weights).read_bytes(), mean, std))
    print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}")


def with_normalisation(model: bytes, mean: float, std: float) -> bytes:
    """The model with metadata about its input."""
    writer = MetadataWriter.create(bytearray(model))
    writer.add_image_input([mean] * 3, [std] * 3)
    stamped, _ = writer.populate()
    return bytes(stamped)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLE)
