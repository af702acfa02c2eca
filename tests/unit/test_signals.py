"""Which signals stop in order, which are an echo, and which end it at once."""

from collections.abc import Sequence

import pytest

from wearon.signals import StopSignals, Wish

STOP, NOTHING_NEW, END_AT_ONCE = Wish.STOP, Wish.NOTHING_NEW, Wish.END_AT_ONCE


@pytest.mark.parametrize(
    ("at", "wishes"),
    [
        ([5.0], [STOP]),
        ([5.0, 5.01], [STOP, NOTHING_NEW]),
        ([5.0, 5.99, 6.01], [STOP, NOTHING_NEW, END_AT_ONCE]),
        ([5.0, 600.0], [STOP, END_AT_ONCE]),
    ],
    ids=["one", "echo", "echo and impatience", "impatience"],
)
def test_an_echo_is_no_second_wish(at: Sequence[float], wishes: Sequence[Wish]) -> None:
    times = iter(at)
    signals = StopSignals(clock=lambda: next(times))
    assert [signals.next() for _ in at] == wishes
