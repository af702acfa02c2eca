"""The pose model behind one method. To be made and used only in a pool process: see `wearon.pose.pool`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self

from PIL import Image

from wearon.pose.pose import Pose

if TYPE_CHECKING:  # numpy and mediapipe come where a detector is made: the pool's parent process needs neither
    import numpy as np
    from numpy.typing import NDArray

MAX_PEOPLE = 3
"""The person meant, and enough others to notice them and still pick the right one. Looking for more costs time
only when there are more: about 15 ms for each person found."""


MODEL = Path(__file__).parent / "pose_landmarker_full.task"
"""Both networks in one bundle; `scripts/make_pose_bundle.py` made it, and NOTICE says from what."""

WARM_UP_PICTURE = Path(__file__).parent / "warm_up.jpg"
"""A rendered person (from the CC0 MakeHuman mesh), small."""


class Detector:
    """Finds people. Not for two threads; takes about 2 s to make, and about 40 ms a picture on one core."""

    def __init__(self, model_path: Path | None = None) -> None:
        """Load the bundle at `model_path`, or ours.

        Raises OSError, ValueError or RuntimeError when the bundle cannot be read or is not one.
        """
        _keep_to_ourselves()
        with _silenced_stderr(), _without_extras(), _asking_for_system_libraries():
            import cv2
            import mediapipe
            from mediapipe.tasks.python import BaseOptions
            from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerOptions

            class _Unclosed(PoseLandmarker):  # type: ignore[misc] # mediapipe has no types
                """Ignores the interpreter's exit when it was not closed: mediapipe's own `__del__` raises then."""

                def __del__(self) -> None:
                    pass

            path = model_path or MODEL
            if not path.is_file():
                raise FileNotFoundError(f"no pose model at {path}")
            options = PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                num_poses=MAX_PEOPLE,
                output_segmentation_masks=True,
            )
            cv2.setNumThreads(1)  # one process is one unit of work: the pool spreads it over the cores
            self._mediapipe = mediapipe
            self._landmarker = _Unclosed.create_from_options(options)
            # The first inference takes far longer than the others, and prints warnings that mean nothing here. It
            # needs a person in the picture: in an empty one the landmark network does not run.
            with Image.open(WARM_UP_PICTURE) as picture:
                self.detect(picture)

    def detect(self, picture: "Image.Image | NDArray[np.uint8]") -> list[Pose]:
        """Find the people in an upright picture, largest first.

        An RGB picture may be given as its pixels (height, width, 3), which spares a copy when they are there already.
        """
        import numpy as np

        pixels = np.ascontiguousarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=pixels)
        found = self._landmarker.detect(image)
        poses = [
            Pose(
                landmarks=np.array([(p.x, p.y, p.z, p.visibility) for p in points], dtype=np.float32),
                mask=_mask(mask.numpy_view()),
                width=pixels.shape[1],
                height=pixels.shape[0],
                world=np.array([(p.x, p.y, p.z) for p in bones], dtype=np.float32),
            )
            for points, bones, mask in zip(
                found.pose_landmarks, found.pose_world_landmarks, found.segmentation_masks or (), strict=True
            )
        ]
        if len(poses) > 1:  # one person, as a rule, needs no sorting
            poses.sort(key=lambda pose: float(pose.mask.sum()), reverse=True)
        return poses

    def close(self) -> None:
        """Free the model; more than once does no harm."""
        with _silenced_stderr():
            self._landmarker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _mask(view: "NDArray[np.float32]") -> "NDArray[np.float32]":
    # A copy: the view points into memory of mediapipe's that is freed with the result.
    return view.reshape(view.shape[0], view.shape[1]).copy()


def _keep_to_ourselves() -> None:
    """Let mediapipe send Google nothing about its use, which it does over libcurl and has no switch for.

    A proxy of an unknown scheme makes libcurl give up before it looks up a name. Only code in C sees it: os.environ,
    which Python's clients read, stays as it is. The process is a pose process, or a command that uses no other libcurl.
    """
    os.putenv("https_proxy", "nowhere://")
    for exception_to_it in ("no_proxy", "NO_PROXY"):
        os.unsetenv(exception_to_it)


_LACKS = (
    # It is linked with them for graphics cards, which we do not use; earlier wheels brought them along.
    (
        ("libEGL", "libGLESv2", "libGLdispatch"),
        "mediapipe needs libEGL and libGLESv2 of the system (Debian, Ubuntu: apt install libegl1 libgles2; Fedora: "
        "dnf install libglvnd-egl libglvnd-gles)",
    ),
    (
        ("libGL.so", "libgthread"),
        "this is the OpenCV for desktops, which pip installs for mediapipe over ours: pip uninstall "
        "opencv-contrib-python, then pip install --force-reinstall --no-deps opencv-python-headless",
    ),
)


@contextmanager
def _asking_for_system_libraries() -> Iterator[None]:
    """Say what to do where mediapipe's own library, or OpenCV, cannot be loaded for the lack of others."""
    try:
        yield
    except (OSError, ImportError) as error:
        for libraries, what_to_do in _LACKS:
            if any(library in str(error) for library in libraries):
                raise OSError(f"{error}: {what_to_do}") from error
        raise


@contextmanager
def _without_extras() -> Iterator[None]:
    """Let mediapipe import empty modules for what is not done here.

    matplotlib, for drawing, is half of the start-up time; sounddevice looks for its library by way of a compiler.
    """
    absent = [name for name in ("matplotlib", "matplotlib.pyplot", "sounddevice") if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Keep mediapipe's native start-up chatter out of our log; it writes to the descriptor, not to sys.stderr."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
