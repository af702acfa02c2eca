"""Wrong tokens: counted by client and overall, slowed down, and never in the way of who has the right one."""

import pytest

from wearon.api.guesses import (
    CHECKS_A_SECOND,
    CLIENTS,
    LONGEST_WAIT_S,
    TRIES_ALL,
    TRIES_EACH,
    WINDOW_S,
    Guesses,
    client_of,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guesses(clock: Clock) -> Guesses:
    return Guesses(clock)


def use_up(guesses: Guesses, address: str) -> None:
    for _ in range(TRIES_EACH):
        assert guesses.turn(address) == 0
        guesses.note_wrong(address)


def test_a_client_has_so_many_tries_and_then_its_tokens_are_looked_at_one_by_one(
    guesses: Guesses, clock: Clock
) -> None:
    use_up(guesses, "192.0.2.1")
    turns = [guesses.turn("192.0.2.1") for _ in range(1000)]
    heard = [turn for turn in turns if turn is not None]
    assert heard == pytest.approx([number / CHECKS_A_SECOND for number in range(len(heard))])
    assert len(heard) == CHECKS_A_SECOND * LONGEST_WAIT_S + 1
    assert guesses.turn("192.0.2.2") == 0, "others have their own tries"
    clock.now += WINDOW_S
    assert guesses.turn("192.0.2.1") == 0


def test_many_clients_share_one_line(guesses: Guesses) -> None:
    for number in range(100):
        use_up(guesses, f"192.0.2.{number}")
    heard = [turn for number in range(100) for _ in range(5) if (turn := guesses.turn(f"192.0.2.{number}")) is not None]
    assert len(heard) == CHECKS_A_SECOND * LONGEST_WAIT_S + 1


def test_who_has_brought_the_right_token_waits_for_nobody(guesses: Guesses, clock: Clock) -> None:
    guesses.note_right("192.0.2.1")
    for _ in range(100):
        guesses.note_wrong("192.0.2.1")
    assert guesses.turn("192.0.2.1") == 0
    clock.now += 3600
    for _ in range(TRIES_EACH):
        guesses.note_wrong("192.0.2.1")
    guesses.turn("192.0.2.1")
    assert guesses.turn("192.0.2.1") != 0


def test_all_together_have_so_many_tries(guesses: Guesses, clock: Clock) -> None:
    for number in range(TRIES_ALL):
        assert guesses.wait_s(f"198.51.100.{number}") == 0
        guesses.note_wrong(f"198.51.100.{number}")
    assert guesses.wait_s("203.0.113.1") > 0
    assert guesses.own_wait_s("203.0.113.1") == 0
    assert guesses.turn("203.0.113.1") == 0, "the right token is looked at all the same"
    clock.now += WINDOW_S
    assert guesses.wait_s("203.0.113.1") == 0


def test_what_is_remembered_is_bounded(guesses: Guesses) -> None:
    use_up(guesses, "first")
    for number in range(CLIENTS):
        guesses.note_wrong(f"client {number}")
        guesses.note_right(f"client {number}")
    assert guesses.own_wait_s("first") == 0
    assert guesses.own_wait_s("client 5") == 0


def test_a_clock_that_is_put_back_makes_nobody_wait_for_it(guesses: Guesses, clock: Clock) -> None:
    use_up(guesses, "192.0.2.1")
    guesses.turn("192.0.2.1")
    clock.now -= 500
    assert guesses.turn("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_address_stands_for_a_client(address: str, client: str) -> None:
    assert client_of(address) == client
