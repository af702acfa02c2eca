"""Surfaces to render: triangles whose vertices carry all that the shader reads."""

from dataclasses import dataclass

import numpy as np
from base_mesh import Floats, Ints
from base_mesh import normals as smooth_normals
from outfits import Finish


@dataclass(frozen=True)
class Surface:
    """Triangles, and by vertex: place (cm), normal, colour, place of its pattern, and the pattern's numbers."""

    vertices: Floats
    faces: Ints

    def turned(self, rotation: Floats) -> "Surface":
        """The surface turned about the origin; its pattern stays where it is on it."""
        return Surface(
            np.concatenate(
                [self.vertices[:, :3] @ rotation.T, self.vertices[:, 3:6] @ rotation.T, self.vertices[:, 6:]], axis=1
            ),
            self.faces,
        )


def surface(
    points: Floats,
    faces: Ints,
    finish: Finish,
    *,
    rest: Floats | None = None,
    normals: Floats | None = None,
    colours: Floats | None = None,
) -> Surface:
    """A surface of one finish.

    Its pattern lies where the points are at rest, so that it moves with a body. Colours are by vertex, where given.
    """
    found = smooth_normals(points, faces) if normals is None else normals
    pattern = np.array([finish.pattern, finish.size, finish.strength])
    parts = (points, found, finish.colour if colours is None else colours, points if rest is None else rest, pattern)
    return Surface(np.concatenate([np.broadcast_to(part, (len(points), 3)) for part in parts], axis=1), faces)
