"""What a stated weight does to a measurement, and girths from breadths."""

import numpy as np
import pytest

from wearon.sizing import bodies
from wearon.sizing.bodies import conditional, girths_from_breadths, populations, typical
from wearon.sizing.measure import Front, combine
from wearon.sizing.reader import Observation
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array

PHOTO_ERRORS = np.diag(np.square([0.042, 0.042, 0.03, 0.025]))
"""Variances of the logarithms: 4, 3.4, 3 and 1 cm."""


def _combined(seen: Array, errors: Array, height: float, weight: float | None, sex: Sex | None) -> Array:
    """The likeliest centimetres after a photo that sees these logarithms of centimetres."""
    front = Front(Observation(seen - np.log(height), errors), 0.0, 0.0)
    return combine(front, None, EstimateRequest(height, weight, sex)).mean


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
    heights, weights = people["stature_cm"], people["weightkg"]
    truth = np.array(
        [typical(Sex.FEMALE, height, weight)[0][0] for height, weight in zip(heights, weights, strict=True)]
    )
    truth += np.random.default_rng(9).multivariate_normal(np.zeros(4), typical(Sex.FEMALE, 165, 65)[0][1] / 1.5, 300)
    noise = np.random.default_rng(8).multivariate_normal(np.zeros(4), PHOTO_ERRORS, 300)
    better = np.log(
        [
            _combined(seen, PHOTO_ERRORS, height, weight, said)
            for seen, height, weight in zip(truth + noise, heights, weights, strict=True)
        ]
    )
    assert np.abs(better - truth)[:, :3].mean() < 0.85 * np.abs(noise)[:, :3].mean()


def test_a_photo_that_is_worth_nothing_changes_nothing_of_what_is_typical() -> None:
    request = EstimateRequest(172, 70, Sex.MALE)
    alone = combine(None, None, request)
    seen = np.log([150.0, 150.0, 150.0, 60.0])
    blind = Front(Observation(seen - np.log(172), np.eye(4) * 100), 0.0, 0.0)
    with_it = combine(blind, None, request)
    assert with_it.mean == pytest.approx(alone.mean, rel=0.01)
    assert with_it.errors == pytest.approx(alone.errors, rel=0.01)


def test_a_heavier_person_is_larger_all_around() -> None:
    seen = np.log([95.0, 82.0, 98.0, 39.0])
    light, heavy = (_combined(seen, PHOTO_ERRORS, 172, weight, None) for weight in (62, 80))
    assert (heavy[:3] > light[:3]).all()


def test_a_photo_that_cannot_be_of_who_weighs_so_much_gives_way() -> None:
    request = EstimateRequest(172, 70, Sex.MALE)
    alone = combine(None, None, request)
    coat = Front(Observation(np.log([130.0, 130.0, 135.0, 45.0]) - np.log(172), PHOTO_ERRORS), 0.0, 0.0)
    found = combine(coat, None, request)
    assert found.surprise > 2
    assert (found.errors > alone.errors).all()
    assert found.mean[:3] == pytest.approx(alone.mean[:3], rel=0.06)


def test_what_is_known_of_a_population_agrees_with_itself() -> None:
    population = populations()[Sex.MALE]
    told = conditional(population, (bodies.WEIGHT,), (bodies.STATURE,))
    at_mean = told.mean(np.array([[population.mean[bodies.COLUMNS.index(bodies.STATURE)]]]))
    assert at_mean[0, 0] == pytest.approx(population.mean[bodies.COLUMNS.index(bodies.WEIGHT)])
    assert 0 < told.covariance[0, 0] < population.covariance[4, 4]
