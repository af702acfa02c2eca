"""The report: finds what is wrong with the probabilities, and is silent where they hold or little is known."""

import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wearon.feedback.calibration import (
    BANDS,
    LEAST_JUDGED,
    Calibration,
    Cell,
    Finding,
    State,
    calibrate,
    confidence_band,
    read_cells,
    wilson,
)
from wearon.feedback.verdict import Verdict

GARMENTS, STORES = ("jeans", "shirt"), ("", "acme", "umbra")


def sold(
    n: int, *, seed: int, bias: float = 0.0, garment: str | None = None, complaints_only: bool = False
) -> list[Cell]:
    """Feedback to `n` estimates; the recommended size is right less often than stated, by `bias`."""
    chance = random.Random(seed)
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for _ in range(n):
        right = chance.uniform(0.35, 0.95)
        larger = (1 - right) / 2
        sold_garment = garment or chance.choice(GARMENTS)
        cell = counts.setdefault((chance.choice(STORES), sold_garment, confidence_band(round(1000 * right))), Counter())
        drawn = chance.random()
        verdict = Verdict.RIGHT if drawn < right - bias else Verdict.LARGER
        if drawn > 1 - larger:
            verdict = Verdict.SMALLER
        if complaints_only and verdict is Verdict.RIGHT:
            continue
        cell.update({verdict: 1, "p": right, "q": larger})
    return [
        Cell(*name, {verdict: int(cell[verdict]) for verdict in Verdict}, cell["p"], cell["q"])
        for name, cell in counts.items()
    ]


def states(found: Calibration) -> dict[tuple[str, str], State]:
    return {(row.by, row.name): row.state for row in found.rows}


def test_wilsons_interval_is_the_books() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, of, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(hits, of, 1.959964) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), st.floats(0.5, 5))
def test_an_interval_holds_its_share(counts: tuple[int, int], z: float) -> None:
    hits, of = counts
    low, high = wilson(hits, of, z)
    assert 0 <= low <= hits / of + 1e-9 <= high + 2e-9 <= 1 + 2e-9


def test_good_probabilities_are_left_alone() -> None:
    alarms = sum(calibrate(sold(500, seed=seed)).recalibration_warranted for seed in range(40))
    assert alarms <= 2


@pytest.mark.parametrize(("bias", "finding"), [(0.2, Finding.OVERCONFIDENT), (-0.2, Finding.UNDERCONFIDENT)])
def test_wrong_ones_are_found(bias: float, finding: Finding) -> None:
    for seed in range(5):
        found = calibrate(sold(800, seed=seed, bias=bias))
        assert found.recalibration_warranted
        assert finding in found.rows[0].findings


def test_a_garment_type_that_runs_small_is_found_beside_one_that_does_not() -> None:
    found = calibrate([*sold(600, seed=1, garment="shirt"), *sold(600, seed=2, bias=0.25, garment="jeans")])
    rows = {row.name: row for row in found.rows if row.by == "garment"}
    assert rows["shirt"].state is State.AGREES
    assert Finding.RECOMMENDS_TOO_SMALL in rows["jeans"].findings
    assert Finding.RECOMMENDS_TOO_LARGE not in rows["jeans"].findings
    assert not calibrate(sold(600, seed=1, garment="shirt"), garment="jeans").rows


def test_a_few_conclude_nothing() -> None:
    found = calibrate(sold(LEAST_JUDGED - 1, seed=3, bias=0.6))
    assert not found.recalibration_warranted
    assert set(states(found).values()) == {State.TOO_FEW}


def test_who_reports_complaints_only_says_nothing_about_us() -> None:
    found = calibrate(sold(2000, seed=4, complaints_only=True))
    assert states(found)["all", "all"] is State.ONE_SIDED
    assert not found.recalibration_warranted


def test_what_is_open_counts_for_both_sides() -> None:
    open_ones = Cell("", "top", "0.8-1.0", {Verdict.RIGHT: 60, Verdict.OPEN: 40}, 90.0, 5.0)
    (everything, *_) = calibrate([open_ones]).rows
    assert everything.right is not None
    assert everything.right.observed == (0.6, 1.0)
    assert (everything.state, everything.judged, everything.open) == (State.AGREES, 100, 40)


def test_returns_for_other_reasons_are_counted_and_not_judged() -> None:
    (everything, *_) = calibrate([Cell("", "top", "0.8-1.0", {Verdict.RETURNED: 90, Verdict.RIGHT: 2}, 1.6, 0.2)]).rows
    assert (everything.feedbacks, everything.returned, everything.judged, everything.state) == (
        92,
        90,
        2,
        State.TOO_FEW,
    )


def test_no_feedback_is_no_row_and_an_only_return_is_one() -> None:
    assert calibrate([]).rows == []
    assert calibrate([Cell("", "top", "0.8-1.0", {Verdict.RETURNED: 1}, 0.0, 0.0)]).rows[0].right is None


@pytest.mark.parametrize(
    ("right", "band"), [(0, "0.0-0.4"), (399, "0.0-0.4"), (400, "0.4-0.6"), (800, "0.8-1.0"), (1000, "0.8-1.0")]
)
def test_a_band_begins_where_the_widget_changes(right: int, band: str) -> None:
    assert confidence_band(right) == band
    assert BANDS[-1] == 0.8


@example({b"s g b right": b"--5", b"s g b larger": b"9" * 5000, b"s g b stated_right": b"9" * 400})
@given(st.dictionaries(st.binary(max_size=30), st.binary(max_size=10)))
def test_what_others_wrote_into_the_counters_does_no_harm(foreign: dict[bytes, bytes]) -> None:
    ours = {b" top 0.8-1.0 right": b"2", b" top 0.8-1.0 stated_right": b"1700"}
    cells = [cell for cell in read_cells({**foreign, **ours}) if (cell.store, cell.garment) == ("", "top")]
    assert cells[0].verdicts[Verdict.RIGHT] == 2
    calibrate(read_cells({**foreign, **ours}))
