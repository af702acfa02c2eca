"""What is known of the image models: every model against every setting, sizes, prices, last days."""

import itertools
import math
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.tryon.openai.models import FAMILIES, ImageModel, Wanted, model_named, prices_of

STANDARD = {"1024x1024", "1536x1024", "1024x1536"}
BASIC, MORE = {"low", "medium", "high", "auto"}, {"low", "medium", "high", "auto", "xhigh", "max"}
DEGREES = {"low", "medium", "high"}

# The contract's table, written down a second time: name, quality, input_fidelity, complexity, any size.
TABLE = [
    ("gpt-image-1", BASIC, set(), set(), False),
    ("gpt-image-1-mini", BASIC, {"low"}, set(), False),
    ("gpt-image-1.5", BASIC, {"low", "high"}, set(), False),
    ("gpt-image-1.5-2025-12-16", BASIC, {"low", "high"}, set(), False),
    ("chatgpt-image-latest", BASIC, {"low", "high"}, set(), False),
    ("gpt-image-2", BASIC, set(), set(), True),
    ("gpt-image-2-2026-04-21", BASIC, set(), set(), True),
    ("gpt-image-2.5-sunburst", MORE, set(), set(), True),
    ("gpt-image-2.5-flare-2026-09-08", MORE, set(), set(), True),
    ("gpt-image-2.6-sunburst", MORE, set(), DEGREES, True),
    ("gpt-image-2.6-flare", MORE, set(), DEGREES, True),
    ("gpt-image-2.6-sunburst-2026-11-04", MORE, set(), DEGREES, True),
]
QUALITIES = [None, "low", "medium", "high", "auto", "xhigh", "max"]
FIDELITIES = [None, "low", "high"]
COMPLEXITIES = [None, "low", "medium", "high"]


def wanted_of_every_kind() -> list[Wanted]:
    return [
        Wanted("photo", *values)  # type: ignore[arg-type]
        for values in itertools.product(QUALITIES, FIDELITIES, COMPLEXITIES)
    ]


@pytest.mark.parametrize(
    ("name", "quality", "fidelity", "complexity", "any_size"), TABLE, ids=[row[0] for row in TABLE]
)
def test_no_setting_is_sent_to_a_model_that_does_not_take_it(
    name: str, quality: set[str], fidelity: set[str], complexity: set[str], any_size: bool
) -> None:
    model = model_named(name)
    for wanted in wanted_of_every_kind():
        fields = model.fields(wanted, (1000, 700))
        expected = {"model", "n", "size", "output_format", "output_compression"}
        expected |= {"quality"} if wanted.quality else set()
        expected |= {"input_fidelity"} if wanted.input_fidelity in fidelity else set()
        expected |= {"complexity"} if wanted.complexity in complexity else set()
        assert set(fields) == expected
        assert fields["model"] == name
        assert fields.get("quality", "low") in quality
        assert (fields["size"] in STANDARD) is not any_size
        # What is left out or replaced is said, once each, with what the model takes.
        unsent = {
            "OPENAI_IMAGE_QUALITY": wanted.quality not in {None, *quality},
            "OPENAI_INPUT_FIDELITY": wanted.input_fidelity not in {None, *fidelity},
            "OPENAI_IMAGE_COMPLEXITY": wanted.complexity not in {None, *complexity},
        }
        said = list(model.not_taken(wanted))
        assert [found.setting for found in said] == [setting for setting, is_unsent in unsent.items() if is_unsent]
        for found in said:
            takes = {"Q": quality, "F": fidelity, "C": complexity}[found.setting.split("_")[-1][0]]
            assert set(found.takes) == takes
            assert all(value in found.words for value in (name, found.value, *takes))


@pytest.mark.parametrize("name", ["my-model", "gpt-image-3", "openai/gpt-image-2", "gpt-image-2.6", "", "a" * 10_000])
def test_a_model_that_is_not_known_gets_what_every_server_takes(name: str) -> None:
    model = model_named(name)
    for wanted in wanted_of_every_kind():
        assert model.fields(wanted, (1000, 1500)) == {"model": name, "n": "1", "size": "1024x1536"}
        assert len(list(model.not_taken(wanted))) == 3 - [
            wanted.quality,
            wanted.input_fidelity,
            wanted.complexity,
        ].count(None)
    assert model.fields(Wanted("512x768"), (1, 1))["size"] == "512x768"
    assert not model.takes_safety_identifier
    assert model.prices is None


def test_a_quality_above_what_the_model_takes_gives_way_to_its_highest() -> None:
    assert model_named("gpt-image-2").fields(Wanted(quality="max"), (2, 3))["quality"] == "high"
    assert model_named("gpt-image-2.5-flare").fields(Wanted(quality="xhigh"), (2, 3))["quality"] == "xhigh"


# Sizes


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        ("1024x1536", True),
        ("3840x2160", True),
        ("3840x1280", True),
        ("1280x3840", True),
        ("1152x864", True),
        ("1024x640", True),  # 655,360 pixels
        ("1024x624", False),
        ("3840x2176", False),  # 8,355,840
        ("3856x2000", False),
        ("3840x1264", False),  # wider than 3:1
        ("1000x1500", False),
        ("photo", True),
        ("auto", False),
        ("1024 x 1536", False),
        ("1024x1536\n", False),
        ("01024x1536", False),
        ("-16x1024", False),
        ("0x0", False),
        ("", False),
        ("9" * 5000 + "x16", False),
    ],
)
def test_a_free_size_follows_the_rules(size: str, taken: bool) -> None:
    assert (model_named("gpt-image-2").size_problem(size) is None) is taken


def test_other_models_have_three_sizes() -> None:
    model = model_named("gpt-image-1.5")
    assert all(model.size_problem(size) is None for size in STANDARD)
    assert "1024x1024, 1536x1024, 1024x1536" in (model.size_problem("1152x864") or "")
    assert model.size("1600x1200", (1, 9)) == "1536x1024", "the nearest in shape to what was asked for"


@pytest.mark.parametrize(
    ("shape", "free", "standard"),
    [
        ((683, 1024), "1024x1536", "1024x1536"),
        ((1024, 683), "1536x1024", "1536x1024"),
        ((1024, 1024), "1248x1248", "1024x1024"),
        ((768, 1024), "1088x1456", "1024x1536"),
        ((900, 1000), "1184x1312", "1024x1024"),
        ((1024, 100), "2160x720", "1536x1024"),
        ((1, 1024), "720x2160", "1024x1536"),
    ],
)
def test_a_picture_can_have_the_shape_of_the_photo(shape: tuple[int, int], free: str, standard: str) -> None:
    assert model_named("gpt-image-2.6-sunburst").size("photo", shape) == free
    assert model_named("gpt-image-1.5").size("photo", shape) == standard
    assert model_named("somebody's own").size("photo", shape) == standard


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.sampled_from(FAMILIES))
def test_any_photo_gets_a_size_that_the_model_takes(width: int, height: int, model: ImageModel) -> None:
    size = model.size("photo", (width, height))
    assert model.size_problem(size) is None
    if model.any_size:
        made = [int(edge) for edge in size.split("x")]
        ratio = min(max(width / height, 1 / 3), 3)
        assert abs(math.log(made[0] / made[1] / ratio)) < 0.02
        assert abs(made[0] * made[1] / (1024 * 1536) - 1) < 0.04


# Prices and last days


def test_a_snapshot_is_what_its_family_is() -> None:
    assert prices_of("gpt-image-2.6-flare-2026-11-04") == prices_of("gpt-image-2")
    assert model_named("gpt-image-1.5-2025-12-16").last_day == date(2026, 12, 1)
    assert not model_named("gpt-image-2-2026").known


@pytest.mark.parametrize("name", ["gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.6-flare"])
def test_prices_are_the_contracts(name: str) -> None:
    prices = prices_of(name)
    assert prices is not None
    assert [prices.text_in, prices.image_in, prices.text_out, prices.image_out] == [Decimal(x) for x in (5, 8, 0, 30)]


def test_last_days_are_the_contracts() -> None:
    assert {family.name: family.last_day for family in FAMILIES if family.last_day} == {
        "gpt-image-1": date(2026, 10, 23),
        "gpt-image-1-mini": date(2026, 12, 1),
        "gpt-image-1.5": date(2026, 12, 1),
    }
