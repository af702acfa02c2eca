"""The id carries what feedback is compared with, and nobody else can make or change one."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.estimates import SIZES, answer
from wearon.feedback.estimate_id import DAY_S, FEEDBACK_DAYS, LONGEST_ID, EstimateIds, UnknownEstimate
from wearon.sizing import DEFAULT_CHART, Garment, Size, SizeChart
from wearon.sizing.chart import Span

NOW = 20_786 * DAY_S

ids = EstimateIds(b"secret", lambda: NOW)

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


def sealed_id(sizes: Mapping[str, float] = SIZES, chart: SizeChart = DEFAULT_CHART, recommended: str = "M") -> str:
    sealed = ids.seal(answer(sizes, recommended), chart, "acme")
    assert sealed is not None
    return sealed


@given(st.lists(st.tuples(names, st.floats(0, 1)), min_size=1, max_size=40, unique_by=lambda size: size[0]), st.data())
def test_what_the_answer_said_comes_back(sizes: list[tuple[str, float]], data: st.DataObject) -> None:
    total = sum(share for _, share in sizes) or 1.0
    given_answer = answer({name: share / total for name, share in sizes}, data.draw(st.sampled_from(sizes))[0])
    sealed = ids.seal(given_answer, DEFAULT_CHART, "acme")
    assert sealed is not None
    assert len(sealed) <= LONGEST_ID
    said = ids.open(sealed)
    assert (said.recommended, said.store, said.garment) == (given_answer.recommended_size, "acme", "full")
    assert [*said.smaller, said.recommended, *said.larger] == [
        name for name, _ in sizes if name in {*said.smaller, said.recommended, *said.larger}
    ]
    assert said.right == round(1000 * given_answer.confidence)
    assert said.right + said.right_is_larger <= 1001


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_changed_letter_breaks_the_seal(at: int, letter: str) -> None:
    sealed = sealed_id()
    at %= len(sealed)
    changed = sealed[:at] + letter + sealed[at + 1 :]
    if changed != sealed:
        with pytest.raises(UnknownEstimate):
            ids.open(changed)


@pytest.mark.parametrize(
    "text", ["", "1..", "1." + "A" * 5000 + "." + "A" * 22, "2.e30.AAAAAAAAAAAAAAAAAAAAAA", "\ud800"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UnknownEstimate):
        ids.open(text)


def test_another_fleet_and_a_later_season_do_not_know_it() -> None:
    sealed = sealed_id()
    with pytest.raises(UnknownEstimate):
        EstimateIds(b"other", lambda: NOW).open(sealed)
    last_day = EstimateIds(b"secret", lambda: NOW + FEEDBACK_DAYS * DAY_S)
    assert last_day.open(sealed).recommended == "M"
    with pytest.raises(UnknownEstimate, match="older"):
        EstimateIds(b"secret", lambda: NOW + (FEEDBACK_DAYS + 1) * DAY_S).open(sealed)


def test_two_estimates_that_say_the_same_are_two() -> None:
    assert len({sealed_id() for _ in range(20)}) == 20


def test_the_longest_names_fit() -> None:
    long = {f"{n}" + "\x00" * 19: 0.1 for n in range(9)}
    assert len(sealed_id(long, recommended="4" + "\x00" * 19)) <= LONGEST_ID


def test_sizes_of_two_parts_name_no_neighbours() -> None:
    waists = tuple(Size(name=f"W{n}", waist=Span(max=n)) for n in (80, 90))
    lengths = tuple(Size(name="\x00" * 20, inseam=Span(max=n)) for n in (80,))
    chart = SizeChart(sizes=waists, second_sizes=lengths, garment=Garment.JEANS)
    said = ids.open(sealed_id(dict.fromkeys(chart.names, 0.5), chart, chart.names[0]))
    assert (said.smaller, said.recommended, said.larger, said.is_ladder) == ((), chart.names[0], (), False)


def test_without_a_recommended_size_there_is_no_id() -> None:
    assert ids.seal(answer().model_copy(update={"recommended_size": None}), DEFAULT_CHART, "") is None
