"""Events reach their subscribers, and a subscriber that fails costs nobody anything."""

import asyncio
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from wearon.events import Events


@dataclass(frozen=True)
class Happened:
    what: str


@dataclass(frozen=True)
class SomethingElse:
    pass


async def test_subscribers_hear_of_their_events_in_order_and_are_waited_for() -> None:
    events, heard = Events(), list[str]()

    async def write_down(event: Happened) -> None:
        await asyncio.sleep(0)
        heard.append(f"written: {event.what}")

    events.subscribe(Happened, write_down)
    events.subscribe(Happened, lambda event: heard.append(f"counted: {event.what}"))
    events.subscribe(SomethingElse, lambda _: heard.append("something else"))
    await events.publish(Happened("a"))
    assert heard == ["written: a", "counted: a"]


async def test_one_that_fails_is_logged_and_the_others_hear_all_the_same() -> None:
    events, heard = Events(), list[Happened]()

    def fail(_: Happened) -> None:
        raise ZeroDivisionError

    async def fail_later(_: Happened) -> None:
        raise ZeroDivisionError

    for subscriber in (fail, fail_later, heard.append):
        events.subscribe(Happened, subscriber)
    with capture_logs() as logs:
        await events.publish(Happened("a"))
    assert heard == [Happened("a")]
    assert [(line["event"], line["event_type"]) for line in logs] == [("a subscriber failed", "Happened")] * 2


async def test_a_cancellation_is_no_failure_of_a_subscriber() -> None:
    events = Events()

    async def cancelled(_: Happened) -> None:
        raise asyncio.CancelledError

    events.subscribe(Happened, cancelled)
    with pytest.raises(asyncio.CancelledError):
        await events.publish(Happened("a"))
