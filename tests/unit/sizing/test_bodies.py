"""What a stated weight does to a measurement, and girths from breadths."""

import numpy as np
import pytest

from wearon.sizing import bodies
from wearon.sizing.bodies import conditional, girths_from_breadths, populations, with_statements
from wearon.sizing.features import Frame
from wearon.sizing.measure import measure_features
from wearon.sizing.photo_model import photo_model
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array

PHOTO_ERRORS = np.diag(np.square([0.042, 0.042, 0.03, 0.025]))
"""Variances of the logarithms: 4, 3.4, 3 and 1 cm."""


def _people(sex: Sex, count: int) -> dict[str, Array]:
    """People drawn from the fitted statistics, in cm and kg."""
    population = populations()[sex]
    logs = np.random.default_rng(7).multivariate_normal(population.mean, population.covariance, count)
    return {name: np.exp(logs[:, i]) for i, name in enumerate(bodies.COLUMNS)}


@pytest.mark.parametrize(
    ("known", "limits"),
    [
        ((*bodies.BREADTHS, bodies.STATURE), (3.0, 2.6, 2.0)),
        ((*bodies.BREADTHS, bodies.STATURE, bodies.WEIGHT), (2.6, 2.2, 1.5)),
    ],
)
@pytest.mark.parametrize("sex", list(Sex))
def test_girths_follow_from_breadths(known: tuple[str, ...], limits: tuple[float, ...], sex: Sex) -> None:
    people = _people(sex, 400)
    guess = girths_from_breadths({name: people[name] for name in known}, [None] * 400)
    truth = np.stack([people[name] for name in bodies.GIRTHS], axis=1)
    assert (np.abs(guess - truth).mean(axis=0) < limits).all()


def test_knowing_the_sex_never_hurts_much_and_weight_helps() -> None:
    people = _people(Sex.FEMALE, 400)
    truth = np.stack([people[name] for name in bodies.GIRTHS], axis=1)

    def error(*names: str, sex: Sex | None = None) -> float:
        guess = girths_from_breadths({name: people[name] for name in names}, [sex] * 400)
        return float(np.abs(guess - truth).mean())

    plain = error(*bodies.BREADTHS, bodies.STATURE)
    assert error(*bodies.BREADTHS, bodies.STATURE, sex=Sex.FEMALE) <= plain * 1.01
    assert error(*bodies.BREADTHS, bodies.STATURE, bodies.WEIGHT) < plain * 0.9


@pytest.mark.parametrize("said", [None, Sex.FEMALE])
def test_a_stated_weight_makes_noisy_girths_better(said: Sex | None) -> None:
    people = _people(Sex.FEMALE, 300)
    truth = np.log(
        np.stack(
            [
                people["chestcircumference_cm"],
                people["waistcircumference_cm"] / bodies.NAVEL_OVER_NATURAL_WAIST,
                people["buttockcircumference_cm"],
                people["biacromialbreadth_cm"],
            ],
            axis=1,
        )
    )
    noise = np.random.default_rng(8).multivariate_normal(np.zeros(4), PHOTO_ERRORS, 300)
    better = np.array(
        [
            with_statements(seen, PHOTO_ERRORS, height, weight, said)[0]
            for seen, height, weight in zip(truth + noise, people["stature_cm"], people["weightkg"], strict=True)
        ]
    )
    before, after = np.abs(noise)[:, :3].mean(), np.abs(better - truth)[:, :3].mean()
    assert after < 0.85 * before


@pytest.mark.parametrize("sex", list(Sex))
@pytest.mark.parametrize("doubt", [1.0, 2.0])
def test_a_stated_sex_alone_makes_noisy_girths_better(sex: Sex, doubt: float) -> None:
    people = _people(sex, 300)
    truth = np.log(np.stack([people[name] for name in (*bodies.GIRTHS, "biacromialbreadth_cm")], axis=1))
    truth[:, 1] -= np.log(bodies.NAVEL_OVER_NATURAL_WAIST)
    spread = PHOTO_ERRORS * doubt**2
    noise = np.random.default_rng(9).multivariate_normal(np.zeros(4), spread, 300)
    better = np.array(
        [
            with_statements(seen, spread, height, None, sex)[0]
            for seen, height in zip(truth + noise, people["stature_cm"], strict=True)
        ]
    )
    assert np.abs(better - truth).mean() < 0.95 * np.abs(noise).mean()


def test_a_stated_sex_alone_has_no_opinion_on_the_build() -> None:
    for scale in (0.8, 1.3):
        mean = np.log([95.0 * scale, 82.0 * scale, 98.0 * scale, 39.0])
        after, _, surprise = with_statements(mean, PHOTO_ERRORS, 172, None, Sex.FEMALE)
        assert np.exp(after[:3] - mean[:3]) == pytest.approx([1.0] * 3, abs=0.04)
        assert surprise < 2


def test_a_heavier_person_is_larger_all_around_and_surer() -> None:
    mean = np.log([95.0, 82.0, 98.0, 39.0])
    light, spread, _ = with_statements(mean, PHOTO_ERRORS, 172, 62, None)
    heavy, _, _ = with_statements(mean, PHOTO_ERRORS, 172, 80, None)
    assert (heavy[:3] > light[:3]).all()
    assert (np.diag(spread)[:3] < np.diag(PHOTO_ERRORS)[:3]).all()


def test_a_weight_that_cannot_be_is_not_believed() -> None:
    frame = _average_features()
    plain = measure_features(frame, Frame.FULL, EstimateRequest(height_cm=172))
    odd = measure_features(frame, Frame.FULL, EstimateRequest(height_cm=172, weight_kg=180))
    assert odd.surprise > 2
    assert (odd.errors[:3] > plain.errors[:3]).all()


def test_what_is_known_of_a_population_agrees_with_itself() -> None:
    population = populations()[Sex.MALE]
    told = conditional(population, (bodies.WEIGHT,), (bodies.STATURE,))
    at_mean = told.mean(np.array([[population.mean[bodies.COLUMNS.index(bodies.STATURE)]]]))
    assert at_mean[0, 0] == pytest.approx(population.mean[bodies.COLUMNS.index(bodies.WEIGHT)])
    assert 0 < told.covariance[0, 0] < population.covariance[4, 4]


def _average_features() -> dict[str, float]:
    model = photo_model()[Frame.FULL]
    return {
        name: float(centre)
        for part in (model.stretch, model.shoulder, model.girths)
        if part
        for name, centre in zip(part.features, part.centre, strict=True)
    }
