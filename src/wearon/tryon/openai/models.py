"""The image models that are known: what each takes, what it costs, and its last day (the contract, section 5).

Pure knowledge, which imports nothing of wearon. A new model is one row of `FAMILIES`.

A model that is not in the table, such as a self-hosted one or tomorrow's, gets the fields that every server with this
API takes: `model`, `prompt`, `image[]`, `n` and `size`. All others are OpenAI's own, and some servers refuse a field
that they do not know: `quality`, `input_fidelity`, `complexity`, `output_format`, `output_compression` and
`safety_identifier` are not sent, whatever is set. What such a model costs is unknown, which is not zero.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

DEFAULT_MODEL = "gpt-image-2.6-sunburst"
DEFAULT_FALLBACKS = ("gpt-image-2.6-flare", "gpt-image-2")

OUTPUT_COMPRESSION = 90
"""JPEG quality of the answer. The picture is not encoded again on its way to the customer, and at 90 a 1024x1536
one is about 0.5 MB, far below the bucket's 10 MB."""

Quality = Literal["low", "medium", "high", "xhigh", "max", "auto"]
Fidelity = Literal["low", "high"]
Complexity = Literal["low", "medium", "high"]

PHOTO = "photo"
"""The size that is nearest to the shape of the shopper's own photo."""

STANDARD_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))

PHOTO_PIXELS = 1024 * 1536
"""A picture's price depends on its pixels, so one in the photo's own shape has as many as the default size."""

STEP, LONGEST_EDGE, WIDEST, PIXELS = 16, 3840, 3, (655_360, 8_294_400)
"""The rules for a free size: multiples of 16, longest edge, ratio of the edges, fewest and most pixels."""

_SNAPSHOT = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")

Shape = tuple[int, int]
"""Width and height."""

PORTRAIT: Shape = (1024, 1536)


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens."""

    text_in: Decimal
    image_in: Decimal
    text_out: Decimal
    image_out: Decimal


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for, whichever model makes the picture. None: the model's own default."""

    size: str = "1024x1536"
    quality: Quality | None = "medium"
    input_fidelity: Fidelity | None = None
    complexity: Complexity | None = None


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A setting that the model does not take, so it is not sent."""

    setting: str
    value: str
    model: str
    takes: Sequence[str]
    """Values that it takes; empty: it has no such setting, or is not in the table."""
    instead: str | None = None
    """What is sent in its place."""

    @property
    def words(self) -> str:
        """One clause for operators."""
        if not model_named(self.model).known:
            takes = "is not a model that is known here, and gets only what every server takes"
        else:
            takes = f"takes {', '.join(self.takes)}" if self.takes else "takes no such setting"
        sent = f"{self.instead} is sent instead" if self.instead else "it is not sent"
        return f"{self.setting}={self.value}: {self.model} {takes}; {sent}"


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One model. The row of a family stands for its aliases and dated snapshots, too."""

    name: str
    known: bool = True
    """False: it is not in the table."""
    aliases: tuple[str, ...] = ()
    prices: Prices | None = None
    """None: what it costs is not known."""
    last_day: date | None = None
    """Announced by OpenAI; None: not that we know."""
    quality: tuple[Quality, ...] = ("low", "medium", "high", "auto")
    input_fidelity: tuple[Fidelity, ...] = ()
    complexity: tuple[Complexity, ...] = ()
    any_size: bool = False
    """False: only the three standard ones."""

    @property
    def takes_safety_identifier(self) -> bool:
        """Whether the hash of the end user may be sent."""
        return self.known

    def fields(self, wanted: Wanted, shape: Shape) -> dict[str, str]:
        """The fields of a request, besides prompt, pictures and end user. `shape` is that of the shopper's photo."""
        always = {"model": self.name, "n": "1", "size": self.size(wanted.size, shape)}
        if not self.known:
            return always
        maybe = {
            "quality": self.nearest_quality(wanted.quality),
            "input_fidelity": wanted.input_fidelity if wanted.input_fidelity in self.input_fidelity else None,
            "complexity": wanted.complexity if wanted.complexity in self.complexity else None,
        }
        output = {"output_format": "jpeg", "output_compression": str(OUTPUT_COMPRESSION)}
        return always | {name: value for name, value in maybe.items() if value is not None} | output

    def size(self, wanted: str, shape: Shape) -> str:
        """The size to ask for. One that this model does not take gives way to the nearest in shape."""
        if wanted != PHOTO:
            if self.size_problem(wanted) is None:
                return wanted
            shape = _parsed(wanted) or shape
        width, height = min(self._candidates(shape), key=lambda size: _distance(size, shape))
        return f"{width}x{height}"

    def size_problem(self, wanted: str) -> str | None:
        """Why the model does not take the size; None when it does."""
        parsed = _parsed(wanted)
        if wanted == PHOTO:
            return None
        if parsed is None:
            return f"must be {PHOTO} or like 1024x1536 (width x height)"
        if not self.known:
            return None
        if self.any_size:
            return None if _is_legal(parsed) else f"{self.name} takes {_SIZE_RULES}"
        return None if parsed in STANDARD_SIZES else f"{self.name} takes {', '.join(self.sizes)}"

    @property
    def sizes(self) -> Sequence[str]:
        """The sizes that it takes, or the rules for them."""
        return [_SIZE_RULES] if self.any_size else [f"{width}x{height}" for width, height in STANDARD_SIZES]

    def nearest_quality(self, wanted: Quality | None) -> Quality | None:
        """`wanted`, or the nearest lower one that the model takes.

        Left out, the model would choose by itself (`auto`), and so would the price.
        """
        if wanted is None or not self.known:
            return None
        return (
            wanted
            if wanted in self.quality
            else next(value for value in ("max", "xhigh", "high") if value in self.quality)
        )

    def not_taken(self, wanted: Wanted) -> Iterator[NotTaken]:
        """Each setting of `wanted` that this model does not take."""
        for setting, value, takes in (
            ("OPENAI_IMAGE_QUALITY", wanted.quality, self.quality if self.known else ()),
            ("OPENAI_INPUT_FIDELITY", wanted.input_fidelity, self.input_fidelity),
            ("OPENAI_IMAGE_COMPLEXITY", wanted.complexity, self.complexity),
        ):
            if value is not None and value not in takes:
                instead = self.nearest_quality(wanted.quality) if takes == self.quality else None
                yield NotTaken(setting, value, self.name, takes, instead)

    def _candidates(self, shape: Shape) -> Sequence[Shape]:
        """Sizes among which the nearest to the shape is. A server that is not known is asked for a standard one."""
        if not self.any_size:
            return STANDARD_SIZES
        ratio = min(max(shape[0] / shape[1], 1 / WIDEST), WIDEST)
        edges = math.sqrt(PHOTO_PIXELS * ratio), math.sqrt(PHOTO_PIXELS / ratio)
        widths, heights = ([math.floor(edge / STEP) * STEP, math.ceil(edge / STEP) * STEP] for edge in edges)
        return [size for width in widths for height in heights if _is_legal(size := (width, height))]


_2 = ImageModel(
    "gpt-image-2",
    prices=Prices(Decimal("5.00"), Decimal("8.00"), Decimal("0.00"), Decimal("30.00")),
    any_size=True,
)
_2_5 = replace(_2, name="gpt-image-2.5-sunburst", quality=("low", "medium", "high", "xhigh", "max", "auto"))
_2_6 = replace(_2_5, name="gpt-image-2.6-sunburst", complexity=("low", "medium", "high"))
_1_5 = ImageModel(
    "gpt-image-1.5",
    aliases=("chatgpt-image-latest",),
    prices=Prices(Decimal("5.00"), Decimal("8.00"), Decimal("10.00"), Decimal("32.00")),
    last_day=date(2026, 12, 1),
    input_fidelity=("low", "high"),
)

FAMILIES = (
    ImageModel("gpt-image-1", last_day=date(2026, 10, 23)),
    ImageModel("gpt-image-1-mini", last_day=date(2026, 12, 1), input_fidelity=("low",)),
    _1_5,
    _2,
    _2_5,
    replace(_2_5, name="gpt-image-2.5-flare"),
    _2_6,
    replace(_2_6, name="gpt-image-2.6-flare"),
)
"""Prices and last days are the contract's. What is not known of a model is not guessed."""

_BY_NAME = {name: family for family in FAMILIES for name in (family.name, *family.aliases)}

_SIZE_RULES = (
    f"sizes with edges that are multiples of {STEP} and at most {LONGEST_EDGE}, a ratio of 1:{WIDEST} to {WIDEST}:1, "
    f"and {PIXELS[0]:,} to {PIXELS[1]:,} pixels"
)


def model_named(name: str) -> ImageModel:
    """What is known of the model with that name; a dated snapshot is what its family is."""
    family = _BY_NAME.get(_SNAPSHOT.sub("", name))
    return replace(family, name=name) if family else ImageModel(name, known=False)


def prices_of(name: str | None) -> Prices | None:
    """The prices of a model; None when they are not known."""
    return None if name is None else model_named(name).prices


def _parsed(size: str) -> Shape | None:
    found = _SIZE.fullmatch(size)
    return (int(found[1]), int(found[2])) if found else None


def _is_legal(size: Shape) -> bool:
    shorter, longer = sorted(size)
    return (
        all(edge % STEP == 0 for edge in size)
        and longer <= LONGEST_EDGE
        and longer <= WIDEST * shorter
        and PIXELS[0] <= shorter * longer <= PIXELS[1]
    )


def _distance(size: Shape, shape: Shape) -> float:
    """How far the ratio of two shapes is apart."""
    return abs(math.log(size[0] / size[1] / (shape[0] / shape[1])))
