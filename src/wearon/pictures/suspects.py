"""Pictures whose process was lost while it had them: whether they are to blame is found out of them alone.

A process may be ended because the system wanted its memory for others, or fail because there is none: that says nothing
about the picture. So a suspect is decoded alone in a new process. When that is lost, too, pictures of our own are
decoded in another one, for some times as long: only when those come through does it count against the suspect.
"""

import hashlib
import time
from collections import OrderedDict

from PIL import Image

from wearon.pictures.decode import memory_is_left, prepare, to_jpeg

MOST_STRIKES = 3
"""Processes of its own that a picture may lose before it counts as the cause."""

MOST_SUSPECTS = 1000
"""Remembered at most, some 150 bytes each. Honest pictures are forgotten as soon as they are decoded."""

CONTROL_FACTOR = 4
"""Our own pictures run this many times as long as the suspect did. Where processes are killed from outside again
and again, our own pictures hardly ever come through in that time: in the worst case (one kill in five times a picture's
time) one suspect in two thousand strikes three times in a row."""

CONTROL_S = (0.2, 5.0)
"""Shortest and longest time of that."""


class Suspects:
    """Remembers suspects by their content, not by their job: many jobs may bring the same picture."""

    def __init__(self) -> None:
        self._strikes: OrderedDict[bytes, int] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._strikes)

    def knows(self, picture: bytes) -> bool:
        """Whether the picture with this `digest` is a suspect."""
        return picture in self._strikes

    def add(self, picture: bytes) -> None:
        """Note a picture that was not alone when its process was lost."""
        self._strikes.setdefault(picture, 0)
        self._strikes.move_to_end(picture)
        while len(self._strikes) > MOST_SUSPECTS:
            self._strikes.popitem(last=False)

    def strike(self, picture: bytes) -> bool:
        """Count a loss of a process that the picture had for itself; True when that was once too often."""
        self.add(picture)
        self._strikes[picture] += 1
        return self._strikes[picture] >= MOST_STRIKES

    def spare(self, picture: bytes) -> None:
        """Forget its strikes: our own pictures did not come through either, so the losses may have been chance."""
        self._strikes[picture] = 0

    def clear(self, picture: bytes) -> None:
        """Forget a picture that was decoded or refused."""
        self._strikes.pop(picture, None)


def digest(picture: bytes) -> bytes:
    """The hash that a picture is known by; 6 ms for the largest."""
    return hashlib.sha256(picture).digest()


def control_seconds(took_s: float) -> float:
    """How long our own pictures are decoded after a suspect that took so long."""
    shortest, longest = CONTROL_S
    return min(max(shortest, CONTROL_FACTOR * took_s), longest)


# What follows runs in the picture processes.


def warm_up() -> None:
    """Importing this module has loaded the decoders."""


def decode_our_own(seconds: float) -> None:
    """Raises MemoryError where there is none; whatever else goes wrong is not the pictures' fault either."""
    if not memory_is_left():
        raise MemoryError
    picture = to_jpeg(Image.effect_noise((1600, 1200), 64).convert("RGB"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        prepare(picture)
