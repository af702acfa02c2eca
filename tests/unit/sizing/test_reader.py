"""The readers: a picture's own word, and the files that ship."""

import json

import numpy as np
import pytest

from support.figures import Figure
from wearon.sizing.features import Frame, features, look
from wearon.sizing.reader import Linear, Observation, People, Reader, readers

PEOPLE = People(np.zeros(4), 0.02 * np.eye(4))


def test_a_best_guess_and_what_is_typical_are_the_picture_s_own_word_put_together_again() -> None:
    guess, errors = np.array([0.1, -0.05, 0.02, 0.0]), np.diag([0.004, 0.006, 0.003, 0.002])
    said = PEOPLE.unmixed(guess, errors)
    precision = np.linalg.inv(said.covariance) + np.linalg.inv(PEOPLE.covariance)
    again = np.linalg.solve(precision, np.linalg.solve(said.covariance, said.mean))
    assert again == pytest.approx(guess, abs=1e-9)
    assert np.linalg.inv(precision) == pytest.approx(errors, abs=1e-9)


def test_a_guess_that_knows_no_more_than_what_is_typical_says_next_to_nothing() -> None:
    said = PEOPLE.unmixed(np.zeros(4), PEOPLE.covariance)
    assert (np.diag(said.covariance) > 2 * np.diag(PEOPLE.covariance)).all()
    np.linalg.cholesky(said.covariance)


def test_doubt_multiplies_standard_errors() -> None:
    said = Observation(np.ones(4), np.eye(4)).doubted(3)
    assert (said.mean == 1).all()
    assert np.diag(said.covariance) == pytest.approx([9.0] * 4)


@pytest.mark.parametrize("view", ["front", "side"])
def test_the_readers_that_ship_are_complete_and_come_back_from_json(view: str) -> None:
    reader: Reader = getattr(readers(), view)
    for errors in reader.errors:
        np.linalg.cholesky(errors)
    again = Reader.from_json(json.loads(json.dumps(reader.to_json())))
    values = dict(zip(reader.features, reader.centre.tolist(), strict=True))
    assert again.guess(values, 0.4) == pytest.approx(reader.guess(values, 0.4), abs=1e-3)
    assert 0.4 < np.exp(reader.guess(values, 0.4)[:3]).min() < 0.7


def test_no_height_is_among_what_a_reader_looks_at() -> None:
    # A photo has no scale of its own: 1 % more stature is 1 % more girth.
    assert "height" not in readers().front.features


@pytest.mark.parametrize("figure", [Figure(), Figure(trunk=0.22), Figure(pixels=200, top=20, width=160, height=256)])
def test_every_feature_of_a_whole_picture_is_finite(figure: Figure) -> None:
    pose, picture = figure.draw()
    values = features(look(pose, picture), Frame.FULL, 170)
    assert np.isfinite(list(values.values())).all()
    assert set(readers().front.features) <= set(values)
    assert 0 <= readers().front.kind(values) <= 1


def test_features_far_beyond_what_was_fitted_are_held() -> None:
    part = Linear(("a",), np.array([1.0]), np.array([0.5]), np.array([2.0]))
    assert part.value({"a": 1.5}) == pytest.approx(2.0)
    assert part.value({"a": 1e9}) == part.value({"a": 2.5}) == pytest.approx(6.0)
