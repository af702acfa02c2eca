"""What to ask the shopper next: whatever would narrow the range of sizes most for this person.

Each answer that is still missing would add an opinion of known errors. How much narrower the range gets is computed
from these errors alone, averaged over what the answer may turn out to be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from wearon.sizing.bodies import typical
from wearon.sizing.fitting import Fitting
from wearon.sizing.lengths import with_lengths
from wearon.sizing.measure import ALIKE, MEASURES, Measured, combine
from wearon.sizing.reader import readers
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import NextQuestion, Question, Source
from wearon.sizing.silhouette import Array
from wearon.sizing.warnings import ADVICE, WarningCode

LEAST = 0.05
"""Sizes of narrowing below which a question is not worth a shopper's time."""
_DRAWS = 8
"""Means that an answer may lead to, over which the range is averaged: good to about 0.1 sizes."""
_USUAL_KG = 70.0
"""A weight that is not known: what it leaves open is the same at every weight."""

MESSAGES = {
    Question.WEIGHT_KG: "Tell us your weight: it says more about your size than anything else.",
    Question.SEX: "Tell us whether women's or men's proportions fit you better.",
    Question.IMAGE_URL: "Add a photo of you from the front, from head to toe.",
    Question.SIDE_IMAGE_URL: "Add a photo of you from the side: it shows what the front hides.",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the answer was made from, and how much of the photo's error its faults are to blame for."""

    request: EstimateRequest
    photo: bool
    side: bool
    doubt: float
    warnings: tuple[WarningCode, ...]
    hint: str | None
    """Why a photo could not be used at all."""


def questions(measured: Measured, known: Known, fitting: Fitting, width: int) -> tuple[NextQuestion, ...]:
    """Everything worth asking, what narrows the range of now `width` sizes most first."""
    cm = measured.mean
    covariance = measured.covariance / np.outer(cm, cm)
    found = []
    girths = slice(len(MEASURES))
    for question, after, message in _answers(covariance[girths, girths], known):
        if question is Question.SEX and not (known.photo or known.side):
            narrower = width - _width_of_either_sex(known.request)
        else:
            narrower = width - expected_width(np.log(cm), covariance, after, fitting, measured.names)
        # Who sent a photo in vain is told what was wrong with it in any case.
        if narrower >= LEAST or (question is Question.RETAKE and known.hint):
            worth = round(max(narrower, 0.0), 2)
            found.append(NextQuestion(ask=question, narrows_range_by=worth, message=message))
    return tuple(sorted(found, key=lambda one: -one.narrows_range_by))


def _answers(now: Array, known: Known) -> Iterator[tuple[Question, Array, str]]:
    """What can be asked, and the covariance of the logarithms after the answer."""
    request = known.request
    sexes: list[Sex | None] = [request.sex] if request.sex else list(Sex)
    if request.weight_kg is None:
        yield Question.WEIGHT_KG, _with(now, _spread(request, sexes, _USUAL_KG)), MESSAGES[Question.WEIGHT_KG]
    if request.sex is None and request.weight_kg is not None:
        told = _spread(request, sexes, request.weight_kg)
        yield Question.SEX, _with(_without(now, _mixed(request)), told), MESSAGES[Question.SEX]
    if not known.photo:
        question = Question.RETAKE if known.hint else Question.IMAGE_URL
        yield question, _with(now, _errors(Source.PHOTO)), known.hint or MESSAGES[Question.IMAGE_URL]
    elif known.doubt > 1:
        better = _errors(Source.PHOTO)
        advice = next((ADVICE[code] for code in known.warnings), MESSAGES[Question.IMAGE_URL])
        yield Question.RETAKE, _with(_without(now, better * known.doubt**2), better), advice
    if known.photo and not known.side:
        yield (
            Question.SIDE_IMAGE_URL,
            _with(now, _errors(Source.SIDE_PHOTO) * ALIKE**2),
            MESSAGES[Question.SIDE_IMAGE_URL],
        )


def expected_width(mean: Array, now: Array, after: Array, fitting: Fitting, names: tuple[str, ...] = MEASURES) -> float:
    """Mean sizes in the range once the covariance of MEASURES, the first of `names`, has become `after`.

    `mean` and `now` are of all `names`, in logarithms of centimetres. What follows from the girths moves with them.
    """
    count = len(MEASURES)
    moves = now[:count, :count] - after
    slopes = np.vstack([np.eye(count), now[count:, :count] @ np.linalg.inv(now[:count, :count])])
    then = now - slopes @ moves @ slopes.T
    then[:count, :count] = after
    values, vectors = np.linalg.eigh((moves + moves.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0))
    wanted = [names.index(name) for name in fitting.measures]
    means = np.exp(mean + _draws() @ root.T @ slopes.T)[:, wanted]
    chances = fitting.rough_chances(means, then[np.ix_(wanted, wanted)])
    return float(np.mean([fitting.likely_range(one)[2] for one in chances]))


def _width_of_either_sex(request: EstimateRequest) -> float:
    """Mean sizes in the range of both answers that there can be; without a photo either sex is as likely."""
    widths = []
    for sex in Sex:
        told = replace(request, sex=sex)
        measured = with_lengths(combine(None, None, told), told)
        fitting = Fitting(told.size_chart, measured.names, told.fit_preference)
        widths.append(fitting.likely_range(fitting.chances(*measured.of(fitting.measures)))[2])
    return float(np.mean(widths))


@cache
def _draws() -> Array:
    half = np.random.default_rng(3).standard_normal((_DRAWS // 2, len(MEASURES)))
    return np.concatenate([half, -half])


def _spread(request: EstimateRequest, sexes: Sequence[Sex | None], weight_kg: float) -> Array:
    spreads = [spread for sex in sexes for _, spread in typical(sex, request.height_cm, weight_kg)]
    return np.asarray(np.mean(spreads, axis=0))


def _mixed(request: EstimateRequest) -> Array:
    """Covariance of what is typical while the sex is unknown: either sex's, and what they differ by."""
    opinions = typical(None, request.height_cm, request.weight_kg or _USUAL_KG)
    apart = (opinions[0][0] - opinions[1][0]) / 2
    return np.asarray(np.mean([spread for _, spread in opinions], axis=0) + np.outer(apart, apart))


@cache
def _errors(view: Source) -> Array:
    """Covariance of what a usual photo says by itself, as phones take it."""
    reader = readers().front if view is Source.PHOTO else readers().side
    return readers().people.unmixed(readers().people.mean, reader.errors[1]).covariance


def _with(now: Array, opinion: Array) -> Array:
    return np.asarray(np.linalg.inv(np.linalg.inv(now) + np.linalg.inv(opinion)))


def _without(now: Array, opinion: Array) -> Array:
    """What is left when an opinion is taken out: never surer than it was, and never less sure than people differ."""
    precision = np.linalg.inv(now) - np.linalg.inv(opinion)
    values, vectors = np.linalg.eigh((precision + precision.T) / 2)
    kept = np.maximum(values, 1.0)
    return np.asarray((vectors / kept) @ vectors.T)
