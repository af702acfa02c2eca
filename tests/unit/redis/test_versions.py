"""Which redis-py an installation gets: by the lock a newer one than by pip, which goes by metadata alone."""

from importlib.metadata import requires

import redis
from packaging.requirements import Requirement

OF_PIP = "5.3.1"
"""The newest that arq allows. CI runs what talks to Redis on it (`.ci/run`)."""


def test_pip_finds_a_redis_py_that_suits_arq_and_us() -> None:
    ours, arqs = (_wanted_by(package) for package in ("wearon", "arq"))
    assert OF_PIP in ours.specifier
    assert OF_PIP in arqs.specifier
    assert redis.__version__ in ours.specifier


def _wanted_by(package: str) -> Requirement:
    wanted = [Requirement(line) for line in requires(package) or []]
    return next(requirement for requirement in wanted if requirement.name == "redis")
