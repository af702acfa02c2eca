"""Output of the commands: results on stdout, everything else on stderr, errors as one line.

Foreign text (ids, URLs, documents, messages) goes through `plain`, so that it is neither markup nor a control sequence.
The consoles remove control sequences once more.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from wearon.observability.visible import visible


class VisibleConsole(Console):
    """A console whose texts hold no control or format characters: only its own colours and movements go out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, keep="\n"), segment.style)


out = VisibleConsole()
errors = VisibleConsole(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class CommandError(Exception):
    """The command failed; the message is one line, or one list, for people."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def plain(text: object) -> str:
    """Foreign text, made safe to be part of ours."""
    return escape(visible(str(text)))


def say(text: str) -> None:
    """Print a line with markup. It is not broken into lines, so that a pipe gets it whole."""
    out.print(text, soft_wrap=True)


def write_file(path: Path, content: bytes) -> None:
    """Write what the command has made. Raises CommandError."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document for scripts: in ASCII, without colours or wrapping."""
    print(json.dumps(document, indent=2))


def print_text(text: str) -> None:
    """Print a text of many lines without control characters."""
    print(visible(text))


def confirm(question: str, *, yes: bool) -> None:
    """Ask on stderr, unless it was answered with `--yes`, and end the command unless the answer is yes."""
    if not yes:
        typer.confirm(visible(question), abort=True, err=True)
