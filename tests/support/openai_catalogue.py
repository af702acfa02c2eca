"""OpenAI's image models as its API knows them: what each takes, and until when it lives.

Written down from the contract (section 5) a second time, so that a mistake in `wearon.tryon.openai.models` shows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

NOW = date(2026, 11, 24)
"""A day on which every model but `gpt-image-1` lives."""

STANDARD = {"1024x1024", "1536x1024", "1024x1536"}
BASIC = frozenset({"low", "medium", "high", "auto"})

EVERYWHERE = {"model", "prompt", "n", "size"}
"""What every server with this API takes, besides the pictures."""

OPENAIS = {*EVERYWHERE, "quality", "output_format", "output_compression", "safety_identifier"}


@dataclass(frozen=True)
class Listed:
    """One model, for all its names."""

    names: Sequence[str]
    quality: frozenset[str] = BASIC
    input_fidelity: frozenset[str] = frozenset()
    complexity: frozenset[str] = frozenset()
    any_size: bool = True
    shutdown: date | None = None
    own: bool = False
    """Somebody's own server, which refuses what it does not know."""


_2_5 = Listed((), BASIC | {"xhigh", "max"})
_2_6 = replace(_2_5, complexity=frozenset({"low", "medium", "high"}))

CATALOGUE = (
    Listed(["gpt-image-1"], any_size=False, shutdown=date(2026, 10, 23)),
    Listed(["gpt-image-1-mini"], input_fidelity=frozenset({"low"}), any_size=False, shutdown=date(2026, 12, 1)),
    Listed(
        ["gpt-image-1.5", "gpt-image-1.5-2025-12-16", "chatgpt-image-latest"],
        input_fidelity=frozenset({"low", "high"}),
        any_size=False,
        shutdown=date(2026, 12, 1),
    ),
    Listed(["gpt-image-2", "gpt-image-2-2026-04-21"]),
    replace(_2_5, names=["gpt-image-2.5-sunburst", "gpt-image-2.5-sunburst-2026-09-08"]),
    replace(_2_5, names=["gpt-image-2.5-flare", "gpt-image-2.5-flare-2026-09-08"]),
    replace(_2_6, names=["gpt-image-2.6-sunburst", "gpt-image-2.6-sunburst-2026-11-04"]),
    replace(_2_6, names=["gpt-image-2.6-flare", "gpt-image-2.6-flare-2026-11-04"]),
)


@dataclass(frozen=True)
class Complaint:
    """Why a request is refused with status 400."""

    code: str
    param: str


def complaint_about(model: Listed, fields: Mapping[str, str], pictures: int) -> Complaint | None:
    """What the API would find wrong with a request; None when it is taken."""
    taken = set(EVERYWHERE) if model.own else OPENAIS | ({"complexity"} if model.complexity else set())
    if "input_fidelity" in fields and fields["input_fidelity"] not in model.input_fidelity:
        return Complaint("invalid_input_fidelity_model", "input_fidelity")
    for name in fields:
        if name not in taken | {"input_fidelity"}:
            return Complaint("unknown_parameter", name)
    wrong = {
        "prompt": not 0 < len(fields.get("prompt", "")) <= 32_000,
        "image": not 1 <= pictures <= 16,
        "n": fields.get("n") != "1",
        "size": not _takes_size(model, fields.get("size", "1024x1536")),
        "quality": fields.get("quality", "auto") not in model.quality,
        "complexity": "complexity" in fields and fields["complexity"] not in model.complexity,
        "output_format": fields.get("output_format", "png") not in {"png", "jpeg", "webp"},
        "output_compression": "output_compression" in fields and fields.get("output_format") not in {"jpeg", "webp"},
        "safety_identifier": len(fields.get("safety_identifier", "")) > 64,
    }
    return next((Complaint("invalid_value", name) for name, is_wrong in wrong.items() if is_wrong), None)


def _takes_size(model: Listed, size: str) -> bool:
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None:
        return False
    if model.own:
        return True
    if not model.any_size:
        return size in STANDARD
    width, height = int(found[1]), int(found[2])
    return (
        width % 16 == height % 16 == 0
        and max(width, height) <= 3840
        and width <= 3 * height
        and height <= 3 * width
        and 655_360 <= width * height <= 8_294_400
    )
