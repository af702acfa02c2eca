"""Renders surfaces by OpenGL: one lamp with its shadow, light from everywhere, patterns by the shader."""

from collections.abc import Sequence

import moderngl
import numpy as np
from base_mesh import Floats
from cameras import Camera
from numpy.typing import NDArray
from rooms import Light
from surfaces import Surface

SHADOW = 1024
"""Edge of the shadow map, in pixels."""
PLACE = "#version 330\nin vec3 place;uniform mat4 seen;void main(){gl_Position=seen*vec4(place,1);}"
NOTHING = "#version 330\nvoid main(){}"
VERTEX = """#version 330
in vec3 place, normal, colour, rest, pattern;
uniform mat4 seen, lit;
out vec3 at, up, paint, cloth, kind;
out vec4 shade;
void main() {
  gl_Position = seen * vec4(place, 1);
  at = place; up = normal; paint = colour; cloth = rest; kind = pattern; shade = lit * vec4(place, 1);
}"""
FRAGMENT = """#version 330
in vec3 at, up, paint, cloth, kind;
in vec4 shade;
uniform sampler2D shadow;
uniform sampler3D noise;
uniform vec3 towards, eye;
uniform float lamp, ambient;
out vec4 pixel;
float cloud(vec3 p) {
  return .5 * texture(noise, p / 32.).r + .3 * texture(noise, p * 2.1 / 32. + .37).r
    + .2 * texture(noise, p * 4.3 / 32. + .71).r;
}
float scatter(float x) { return fract(sin(x * 12.9898) * 43758.5453); }
vec3 painted(vec3 c, int type, vec3 p, float s) {  // type: Pattern of outfits.py
  float f = cloud(p);
  if (type == 0) return c * (1. + s * (f - .5) * 2.);
  if (type == 1) return c * (1. + s * (texture(noise, p * vec3(2., 1. / 12., 2.) / 32.).r - .5) * 2.);
  if (type == 2) return mix(c, c * .45 + .2, step(.5, fract(p.y + .3 * f)) * s);
  if (type == 3) return mix(c, 1. - c, step(.58, f) * s);
  if (type == 4) return mix(c, c * .7, step(.93, max(fract(p.x), fract(p.z))) * s + .2 * (f - .5));
  if (type == 6) return mix(c, c * .8 + .05, step(.5, fract(p.x)) * s);
  float plank = floor(p.x);
  c *= 1. + s * (scatter(plank * 3.1 + floor((p.z + plank * 37. / kind.y) / 7.) * 7.7) - .5);
  return fract(p.x) < .04 ? c * .7 : c;
}
void main() {
  vec3 n = normalize(up), e = normalize(eye - at);
  if (dot(n, e) < 0.) n = -n;
  vec3 q = shade.xyz / shade.w * .5 + .5;
  float open = 0.;
  for (int i = 0; i < 4; i++)
    open += q.z - .004 > texture(shadow, q.xy + (vec2(i / 2, i % 2) - .5) * .002).r ? 0. : .25;
  float light = ambient * (.75 + .25 * n.y + .2 * dot(n, e)) + lamp * max(dot(n, towards), 0.) * open;
  pixel = vec4(painted(paint, int(kind.x + .5), cloth / kind.y, kind.z) * light, 1);
}"""


class Renderer:
    """An OpenGL context of its own, without a window."""

    def __init__(self) -> None:
        self._context = context = moderngl.create_context(standalone=True, backend="egl")
        self._program = context.program(VERTEX, FRAGMENT)
        self._depth_program = context.program(PLACE, NOTHING)
        self._shadow = context.depth_texture((SHADOW, SHADOW))
        self._shadow.compare_func = ""
        self._shadow_frame = context.framebuffer(depth_attachment=self._shadow)
        cells = np.random.default_rng(5).integers(0, 256, (32, 32, 32), dtype=np.uint8)
        self._noise = context.texture3d(cells.shape, 1, cells.tobytes())
        self._noise.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._frames: dict[tuple[int, int], tuple[moderngl.Framebuffer, moderngl.Framebuffer]] = {}
        context.enable(moderngl.DEPTH_TEST)

    def render(self, surfaces: Sequence[Surface], camera: Camera, light: Light) -> NDArray[np.uint8]:
        """The RGB picture that a camera takes."""
        context, lit = self._context, _lamps_view(light)
        first = np.cumsum([0] + [len(each.vertices) for each in surfaces])
        corners = np.concatenate([each.faces + start for each, start in zip(surfaces, first[:-1], strict=True)])
        vertices = context.buffer(np.concatenate([each.vertices for each in surfaces]).astype("f4").tobytes())
        faces = context.buffer(corners.astype("i4").tobytes())
        shadows = context.vertex_array(self._depth_program, [(vertices, "3f 48x", "place")], faces)
        self._shadow_frame.use()
        self._shadow_frame.clear(depth=1)
        self._depth_program["seen"].write(_columns(lit))
        shadows.render()
        names = ("place", "normal", "colour", "rest", "pattern")
        scene = context.vertex_array(self._program, [(vertices, "3f 3f 3f 3f 3f", *names)], faces)
        sampled, plain = self._frame(camera.size)
        sampled.use()
        sampled.clear(0.5, 0.5, 0.5, depth=1)
        self._set(camera, light, lit)
        scene.render()
        context.copy_framebuffer(plain, sampled)
        width, height = camera.size
        pixels = np.frombuffer(plain.read(components=3), np.uint8).reshape(height, width, 3)[::-1]
        for used in (shadows, scene, vertices, faces):
            used.release()
        return pixels

    def _frame(self, size: tuple[int, int]) -> tuple[moderngl.Framebuffer, moderngl.Framebuffer]:
        """Frames of a size: one with two samples a pixel, one to read from."""
        if size not in self._frames:
            context = self._context
            sampled = context.framebuffer(
                context.renderbuffer(size, 4, samples=2), context.depth_renderbuffer(size, samples=2)
            )
            self._frames[size] = sampled, context.framebuffer(context.renderbuffer(size, 4))
        return self._frames[size]

    def _set(self, camera: Camera, light: Light, lit: Floats) -> None:
        program = self._program
        program["seen"].write(_columns(camera.matrix()))
        program["lit"].write(_columns(lit))
        values = {
            "towards": tuple(light.towards),
            "eye": tuple(camera.eye),
            "lamp": light.lamp,
            "ambient": light.ambient,
            "shadow": 0,
            "noise": 1,
        }
        for name, value in values.items():
            program[name].value = value
        self._shadow.use(0)
        self._noise.use(1)


def _columns(matrix: Floats) -> bytes:
    return matrix.T.astype("f4").tobytes()


def _lamps_view(light: Light) -> Floats:
    """Parallel view of 340 by 340 cm around the person, from the lamp's direction."""
    z = light.towards
    x = np.cross([0, 1, 0], z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = rotation, -rotation @ (np.array([0, 90, 0]) + z * 400)
    scale = np.diag([1 / 170, 1 / 170, -1 / 400, 1])
    scale[2, 3] = -1
    return scale @ view
