"""Finding people in a picture: the MediaPipe pose model, in processes of its own.

`PosePool` runs a function next to a warm `Detector` in another process, or refuses it when it would wait too long
(`admission`); `Pose` is what the detector finds. Imports the floor only.
Importing this package is cheap: mediapipe itself (seconds, 250 MB) is imported only where a `Detector` is made.
"""

from wearon.pose.detector import Detector
from wearon.pose.pool import PoseBusy, PoseError, PosePool, PoseUnavailable
from wearon.pose.pose import Joint, Pose

__all__ = ["Detector", "Joint", "Pose", "PoseBusy", "PoseError", "PosePool", "PoseUnavailable"]
