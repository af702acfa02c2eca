"""Pictures that ship with the package: synthetic people and drawn garments, free to use (CC0, see README.md).

Imports nothing of wearon.
"""

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Sample:
    """A JPEG of at most 900 pixels."""

    file_name: str

    @property
    def path(self) -> Traversable:
        """The file's place; a `Path` unless the package is imported from an archive."""
        return resources.files(__name__) / self.file_name

    def read(self) -> bytes:
        """The JPEG's bytes."""
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Person(Sample):
    """A person who stands, seen whole and from the front.

    A render has no height of its own. `height_cm` is a plausible one at which the girths that its proportions imply
    make `size` on the default chart.
    """

    height_cm: int
    size: str


WOMAN_M = Person("person_1_woman_m.jpg", height_cm=168, size="M")
MAN_L = Person("person_2_man_l.jpg", height_cm=185, size="L")
WOMAN_XL = Person("person_3_woman_xl.jpg", height_cm=163, size="XL")

PEOPLE = (WOMAN_M, MAN_L, WOMAN_XL)

DRESS = Sample("garment_dress.jpg")
JACKET = Sample("garment_jacket.jpg")
TSHIRT = Sample("garment_tshirt.jpg")

GARMENTS = (DRESS, JACKET, TSHIRT)
