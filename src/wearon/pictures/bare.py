"""What is left of a picture's file when everything but the picture is taken away.

A file's table (chunks, segments) is walked here, before a decoder sees a byte of it. Decoders keep, unpack and check
metadata that is of no use here: some thousand profiles cost seconds, and a text with a wrong checksum would refuse
a picture that every browser shows. What of it changes the look, the orientation and the colour profile, is read here.

    Damaged        it has no header that a decoder could begin with
    TooMuchWork    it is made to keep a decoder busy
"""

from dataclasses import dataclass

from wearon.pictures.jpeg_scans import Scans


class Damaged(ValueError):
    """The file does not even hold the beginning of a picture."""


class TooMuchWork(ValueError):
    """This file is made to keep a decoder busy."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A file of the same format that holds the pixels, and what must be known besides to show them."""

    data: bytes
    size: tuple[int, int]
    """Width and height in pixels, as stored."""
    work_s: float
    """About how long it takes to decode, at the worst, on a core of 2024: the rates are beside each walker."""
    orientation: int = 1
    profile: bytes | None = None
    is_cut_off: bool = False
    """The file ends before the picture does. (A JPEG does not tell its length: there its decoder tells.)"""
    scans: Scans | None = None
    """Of a JPEG."""
