"""Shows the progress of long work on stderr: a moving line on a terminal, otherwise a plain line every ten seconds.

Nothing is shown when the result is JSON, so that scripts collect nothing else.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wearon.cli.output import errors, plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_LINE_EVERY_S = 10.0
"""Pause between plain lines, where nothing can be drawn, such as the log of a build."""


class Shown:
    """Shows the progress of work; this class itself shows nothing."""

    def say(self, text: str) -> None:
        """Show what is being done now."""

    def count(self, done: int, total: int) -> None:
        """Show how much of it is done."""


class _OnTerminal(Shown):
    def __init__(self, what: str, bar: "Progress", task: "TaskID") -> None:
        self._what = what
        self._bar = bar
        self._task = task

    def say(self, text: str) -> None:
        self._bar.update(self._task, description=f"{self._what}: {plain(text)}" if text else self._what)

    def count(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


class _InLines(Shown):
    def __init__(self, what: str) -> None:
        self._what = what
        self._text = ""
        self._written_at = time.monotonic()

    def say(self, text: str) -> None:
        self._text = text
        self._write_now_and_then()

    def count(self, done: int, total: int) -> None:
        self._text = f"{done} of {total}"
        self._write_now_and_then()

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written_at >= PLAIN_LINE_EVERY_S:
            errors.print(f"{self._what}: {plain(self._text)}", soft_wrap=True)
            self._written_at = time.monotonic()


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Shown]:
    """Show `what` for the length of the block. `quiet`: the result is JSON."""
    if quiet:
        yield Shown()
    elif errors.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as bar:
            yield _OnTerminal(what, bar, bar.add_task(what, total=None))
    else:
        yield _InLines(what)
