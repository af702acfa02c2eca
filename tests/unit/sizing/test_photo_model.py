"""The regression, and the file that ships."""

import json

import numpy as np
import pytest

from wearon.sizing.features import Frame
from wearon.sizing.photo_model import FrameModel, Regression, photo_model


def _fitted() -> Regression:
    rows = np.random.default_rng(3).uniform(-1.5, 1.5, size=(200, 2))
    targets = np.stack([2 * rows[:, 0] + 1, -rows[:, 1]], axis=1)
    return Regression.fit(("a", "b"), rows, targets, np.ones(200), ridge=1e-6)


def test_it_finds_a_line() -> None:
    mean, _ = _fitted().predict({"a": 0.5, "b": 1.5, "not mine": 7})
    assert mean == pytest.approx([2.0, -1.5], abs=1e-3)


def test_what_is_bent_it_follows_better_than_a_line() -> None:
    rows = np.random.default_rng(4).uniform(-2, 2, size=(100, 1))
    targets = rows**2

    def error(bend: float) -> float:
        fitted = Regression.fit(("a",), rows, targets, np.full(100, 10.0), ridge=1.0, bend=bend)
        return max(abs(float(fitted.predict({"a": x})[0][0]) - x**2) for x in (-1.0, 0.0, 1.5))

    assert error(bend=100.0) < 0.2 < error(bend=0.0)


def test_far_from_what_it_knows_it_stops_following_the_line_and_says_so() -> None:
    _, usual = _fitted().predict({"a": 0.0, "b": 0.0})
    far, strange = _fitted().predict({"a": 100.0, "b": 0.0})
    assert far[0] < 10
    assert strange > 100 * usual


def test_rows_count_by_their_weight() -> None:
    rows, targets = np.zeros((2, 1)), np.array([[0.0], [1.0]])
    fitted = Regression.fit(("a",), rows, targets, np.array([3.0, 1.0]), ridge=1.0)
    assert fitted.predict({"a": 0.0})[0] == pytest.approx([0.25])


def test_strange_features_widen_the_answer() -> None:
    part = _fitted()
    model = FrameModel(part, part, np.eye(3))
    assert model.predict({"a": 0.0, "b": 0.0}).covariance == pytest.approx(np.eye(3))
    assert model.predict({"a": 9.0, "b": 0.0}).covariance[0, 0] > 4


def test_it_comes_back_from_its_file_as_it_was() -> None:
    rows = np.random.default_rng(5).uniform(-1.5, 1.5, size=(50, 2))
    fitted = Regression.fit(("a", "b"), rows, np.sin(rows), np.ones(50), ridge=1.0, bend=1.0)
    again = Regression.from_json(json.loads(json.dumps(fitted.to_json())))
    values = {"a": 0.3, "b": -0.2}
    assert again.predict(values)[0] == pytest.approx(fitted.predict(values)[0], abs=1e-4)


@pytest.mark.parametrize("frame", list(Frame))
def test_the_model_that_ships_is_complete(frame: Frame) -> None:
    model = photo_model()[frame]
    np.linalg.cholesky(model.covariance)
    centre = {
        name: float(value)
        for part in (model.stretch, model.shoulder, model.girths)
        if part
        for name, value in zip(part.features, part.centre, strict=True)
    }
    found = model.predict(centre)
    assert found.strangeness < 0.1
    assert 0.4 < np.exp(found.mean[:3]).min() < np.exp(found.mean[:3]).max() < 0.7
    assert "height" not in model.girths.features  # or 1 % more height were not 1 % more girth
