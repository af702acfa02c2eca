"""From the pictures' bytes to the preview's: what a pose process is asked to run.

Heavy imports are left to the functions, for the main process imports this module to name them.
"""

from collections.abc import Sequence

from wearon.pictures.decode import PREPARED_EDGE, PictureError, decode
from wearon.pose import Detector
from wearon.processes.answers import raises
from wearon.tryon.image_model import RequestRefused


@raises(RequestRefused)
def draw_preview(detector: Detector, pictures: Sequence[bytes]) -> bytes:
    """A labelled JPEG of the person (first picture) in the garment (second), accessories beside them.

    Raises RequestRefused when that cannot be.
    """
    import numpy as np
    from PIL import Image

    from wearon.local.preview.accessories import place_beside
    from wearon.local.preview.cutout import NoCutout, cut_out
    from wearon.local.preview.dressing import dress
    from wearon.local.preview.label import labelled_jpeg

    try:
        person, garment, *accessories = (decode(picture, PREPARED_EDGE) for picture in pictures)
    except PictureError as error:
        raise RequestRefused(f"a picture {error.reason}") from error
    poses = [pose for pose in detector.detect(person) if (pose.mask > 0.5).any()]
    if not poses:
        raise RequestRefused("no person found in the first picture")
    try:
        cutout = cut_out(garment)
    except NoCutout as error:
        raise RequestRefused(f"no garment found in the second picture: {error}") from error
    dressed = Image.fromarray(dress(poses[0], np.asarray(person), cutout))
    place_beside(dressed, poses[0], accessories)
    return labelled_jpeg(dressed)
