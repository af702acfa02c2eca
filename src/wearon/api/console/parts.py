"""What the console's routes work with besides the API's own parts, and how they get at it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from wearon.api.console.live import LiveFeed
from wearon.api.console.login import Doorkeeper
from wearon.overview.overview import Overview
from wearon.tryon.desk import LettersDesk, RefundsDesk
from wearon.tryon.producer import LocalProducer


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """`producer` is there in local mode only: it makes the try-on studio's orders."""

    mode: str
    overview: Overview
    letters: LettersDesk
    refunds: RefundsDesk
    picture_origin: str
    """scheme://host[:port] of signed pictures: the only foreign place that the page may show pictures from."""
    producer: LocalProducer | None = None


@dataclass(frozen=True, slots=True)
class Console:
    """The mounted console's state, one per application."""

    parts: ConsoleParts
    feed: LiveFeed
    doorkeeper: Doorkeeper | None
    """None: local mode without a token, open on loopback."""


def console_of(request: Request) -> Console:
    """The console of the application that answers."""
    console: Console = request.app.state.console
    return console


def parts_of(request: Request) -> ConsoleParts:
    """Its parts."""
    return console_of(request).parts


TheConsole = Annotated[Console, Depends(console_of)]
TheParts = Annotated[ConsoleParts, Depends(parts_of)]
