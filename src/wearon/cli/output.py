"""How commands speak: results on stdout, everything else on stderr, errors as one line.

What others have chosen (ids, URLs, documents, messages) goes through `plain`, so that it is neither markup nor anything
that a terminal obeys. The consoles see to the latter once more.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from wearon.visible import visible


class VisibleConsole(Console):
    """A console whose texts hold no control or format characters: only its own colours and movements go out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, keep="\n"), segment.style)


out = VisibleConsole()
errors = VisibleConsole(stderr=True)


class CommandError(Exception):
    """The command did not do what it was asked; the message is one line (or one readable list) for a person."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def plain(text: object) -> str:
    """A text that others have chosen, as a part of one of ours."""
    return escape(visible(str(text)))


def print_json(document: Mapping[str, Any]) -> None:
    """For scripts: one JSON document on stdout, in ASCII, without colours or wrapping."""
    print(json.dumps(document, indent=2))


def print_text(text: str) -> None:
    """A text of many lines on stdout, as it is but for what a terminal would obey."""
    print(visible(text))


def confirm(question: str) -> None:
    """Ask on stderr, and end the command unless the answer is yes."""
    typer.confirm(visible(question), abort=True, err=True)
