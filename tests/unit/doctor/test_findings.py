"""Promises are those of the document that operators are sent to."""

from pathlib import Path

import pytest

from wearon.doctor import Promise

GUARANTEES = Path(__file__).parents[3] / "docs" / "guarantees.md"


@pytest.mark.parametrize("promise", list(Promise))
def test_every_promise_stands_in_the_guarantees(promise: Promise) -> None:
    assert f"| {promise} |" in GUARANTEES.read_text().replace("`", "")
