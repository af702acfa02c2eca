"""Processes that fit people and render them, each with its own meshes and its own OpenGL context."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from base_mesh import load
from bodies import Morphs, Person, Tape, fitted_person, mixed_person, read_rows, statistics
from pairs import Studio, take
from renderer import Renderer

FITTED = 240
"""The first people are fitted, as many women as men; all others are mixes of two of them of one sex."""
BODIES, PICTURES = 1, 2
"""Seeds; what is drawn for a person depends on their number alone."""


@dataclass(frozen=True)
class Folders:
    """Where to read and write."""

    data: Path
    """makehuman/data."""
    phones: Path
    out: Path


def rendered(folders: Folders, people: int, processes: int) -> Iterator[dict[str, str | int]]:
    """Rows of truth.csv, in order, of people whose pictures have been written."""
    # OpenGL's context does not survive a fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start_fitting, (folders,)) as pool:
        fitted = list(pool.map(_fit, range(min(people, FITTED)), chunksize=4))
    with ProcessPoolExecutor(processes, context, _start_rendering, (folders, fitted)) as pool:
        yield from pool.map(_render, range(people), chunksize=4)


def _sex(number: int) -> str:
    return "FM"[number % 2]


class _Fitting:
    def __init__(self, folders: Folders) -> None:
        base, rows = load(folders.data), read_rows(folders.phones)
        self._tape = Tape.of(base, folders.data)
        self._morphs = {sex: Morphs(base, self._tape, folders.data, sex) for sex in "FM"}
        self._statistics = {sex: statistics(rows, sex) for sex in "FM"}

    def person(self, number: int) -> Person:
        sex, rng = _sex(number), np.random.default_rng([BODIES, number])
        return fitted_person(rng, self._morphs[sex], self._tape, self._statistics[sex], sex)


class _Rendering:
    def __init__(self, folders: Folders, fitted: Sequence[Person]) -> None:
        base = load(folders.data)
        self._tape, self._fitted, self._out = Tape.of(base, folders.data), fitted, folders.out
        self._studio = Studio(base, Renderer(), read_rows(folders.phones))

    def pair(self, number: int) -> dict[str, str | int]:
        row, pictures = take(self._studio, PICTURES, number, self._person(number))
        for name, picture in zip(("image", "side_image"), pictures, strict=True):
            (self._out / str(row[name])).write_bytes(picture)
        return row

    def _person(self, number: int) -> Person:
        if number < len(self._fitted):
            return self._fitted[number]
        alike = [person for person in self._fitted if person.sex == _sex(number)]
        return mixed_person(np.random.default_rng([BODIES, number]), alike, self._tape)


_fitting: _Fitting
_rendering: _Rendering
"""Of this process: set as it starts."""


def _start_fitting(folders: Folders) -> None:
    global _fitting
    _fitting = _Fitting(folders)


def _start_rendering(folders: Folders, fitted: Sequence[Person]) -> None:
    global _rendering
    _rendering = _Rendering(folders, fitted)


def _fit(number: int) -> Person:
    return _fitting.person(number)


def _render(number: int) -> dict[str, str | int]:
    return _rendering.pair(number)
