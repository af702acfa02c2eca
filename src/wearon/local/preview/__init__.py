"""The local mode's stand-in for an image model: the garment, cut out of its picture and laid over the person.

`PreviewModel` makes the pictures; the other modules run in the pose processes, and only there import OpenCV:

    drawing      the pictures' bytes in, the preview's out
    cutout       the garment without its background
    shape        where it has shoulders, armpits, hem and sleeves
    body         where the person has them
    skin         what of the person goes on top of the garment, and what is under it
    fit          the one bent to the other
    layers       how pieces are drawn
    dressing     the order in which they are
    accessories  bags and the like, beside the person
    label        what says that it is a preview
"""

from wearon.local.preview.generator import PreviewModel

__all__ = ["PreviewModel"]
