"""What a pose process is asked to run, for a parent process that needs neither numpy nor OpenCV: 0.1 s of its start."""

from typing import TYPE_CHECKING

from wearon.child_answers import raises
from wearon.pictures.decode import PictureError
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
def annotated_estimate(detector: "Detector", photo: bytes, request: EstimateRequest) -> tuple[SizeEstimate, bytes]:
    """The estimate, and a JPEG of the photo with landmarks, silhouette, measuring lines and size bar.

    Raises what `estimate_size` raises.
    """
    from wearon.sizing.annotate import draw
    from wearon.sizing.estimate import examine

    examination = examine(detector, photo, request)
    return examination.estimate, draw(examination)


@raises(PictureError, NoPerson)
def measured_photo(detector: "Detector", photo: bytes, request: EstimateRequest) -> tuple[SizeEstimate, bytes]:
    """The same without the size bar below the photo: for who shows the sizes in another way."""
    from wearon.sizing.annotate import draw
    from wearon.sizing.estimate import examine

    examination = examine(detector, photo, request)
    return examination.estimate, draw(examination, with_sizes=False)
