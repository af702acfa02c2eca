"""What a pose process is asked to run, for a parent process that needs neither numpy nor OpenCV: 0.1 s of its start."""

from typing import TYPE_CHECKING

from wearon.pictures.decode import PictureError
from wearon.processes.answers import raises
from wearon.sizing.refusal import NoPerson
from wearon.sizing.request import EstimateRequest
from wearon.sizing.result import SizeEstimate

if TYPE_CHECKING:
    from wearon.pose import Detector


@raises(PictureError, NoPerson)
def estimate_size(detector: "Detector", photo: bytes, request: EstimateRequest) -> SizeEstimate:
    """The size of the person in the photo.

    Raises PictureError when the bytes are not a picture, NoPerson when nobody can be measured in it.
    """
    from wearon.sizing.estimate import examine

    return examine(detector, photo, request).estimate


@raises(PictureError, NoPerson)
def estimate_size_of_two(detector: "Detector", photo: bytes, side: bytes, request: EstimateRequest) -> SizeEstimate:
    """The size of the person in two photos, one from the front and one from the side, in either order.

    A second photo that cannot be used is a warning. Raises what `estimate_size` raises.
    """
    from wearon.sizing.estimate import examine

    return examine(detector, photo, request, side).estimate


def estimate_without_photo(_detector: "Detector", request: EstimateRequest) -> SizeEstimate:
    """The size that is typical of a height, a weight and a sex. Raises ValueError without a weight."""
    from wearon.sizing.estimate import without_photo

    return without_photo(request)


@raises(PictureError, NoPerson)
def drawn_estimate(
    detector: "Detector",
    photo: bytes,
    request: EstimateRequest,
    with_sizes: bool,  # noqa: FBT001 - a pose process is called with positions only
) -> tuple[SizeEstimate, tuple[bytes, ...]]:
    """The estimate, and a JPEG of the photo with landmarks, silhouette, measuring lines and, if wanted, the size bar.

    Raises what `estimate_size` raises.
    """
    from wearon.sizing.annotate import draw
    from wearon.sizing.estimate import examine

    examination = examine(detector, photo, request)
    return examination.estimate, draw(examination, with_sizes=with_sizes)


@raises(PictureError, NoPerson)
def drawn_estimate_of_two(
    detector: "Detector",
    photo: bytes,
    side: bytes,
    request: EstimateRequest,
    with_sizes: bool,  # noqa: FBT001 - as above
) -> tuple[SizeEstimate, tuple[bytes, ...]]:
    """The estimate, and a JPEG of each photo that was used, the first one with the size bar if that is wanted.

    Raises what `estimate_size` raises.
    """
    from wearon.sizing.annotate import draw
    from wearon.sizing.estimate import examine

    examination = examine(detector, photo, request, side)
    return examination.estimate, draw(examination, with_sizes=with_sizes)
