"""The scans of a JPEG, read without decoding them: how much of the picture is there.

A baseline JPEG has one scan, from the first row to the last. A progressive one has several over the whole picture,
each adding detail: first the DC values (one for each 8 x 8 pixels), then bands of the 63 AC values (ISO 10918-1, G).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's components (their ids) and coefficients (0 is DC); `end` is where its data ends in the file."""

    components: bytes
    first: int
    last: int
    refines: bool
    """Adds a bit to coefficients that an earlier scan brought."""
    end: int
    is_whole: bool
    """Another marker follows: its data was not cut off."""


@dataclass(frozen=True, slots=True)
class Scans:
    """All scans of a JPEG; `components` are the picture's, luma first."""

    components: bytes
    scans: tuple[Scan, ...]

    @property
    def show_everything(self) -> bool:
        """Whether whole scans bring every component's DC values and, on top, AC values of the luma.

        Then only finer detail can be missing. With less the picture is a blur, or grey from where the data ends.
        """
        whole = [scan for scan in self.scans if scan.is_whole and not scan.refines]
        dc = {component for scan in whole if scan.first == 0 for component in scan.components}
        return dc.issuperset(self.components) and any(
            scan.last > 0 and self.components[:1] in scan.components for scan in whole
        )


def read_scan(header: bytes, end: int, *, is_whole: bool) -> Scan:
    """A scan, from the content of its segment."""
    count = header[0] if header else 0
    first, last, approximation = header[1 + 2 * count : 4 + 2 * count].ljust(3, b"\0")
    return Scan(
        components=header[1 : 1 + 2 * count : 2],
        first=first,
        last=last,
        refines=approximation >> 4 > 0,
        end=end,
        is_whole=is_whole,
    )
