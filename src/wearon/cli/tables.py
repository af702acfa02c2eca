"""Tables whose ids stay whole: a pipe gets rows as wide as needed, a narrow terminal several lines for a row."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.measure import Measurement
from rich.table import Table

from wearon.cli.output import out, plain, say

NARROW = 18
"""Columns that a text needs at least to be read."""


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[str]) -> None:
    """Print foreign texts as a table. Only columns that `texts` names may be broken into lines; nothing is cut."""
    table = Table(title=title or None, box=SIMPLE, title_justify="left")
    for heading in headings:
        is_text = heading in texts
        table.add_column(heading, no_wrap=not is_text, overflow="fold", min_width=NARROW if is_text else None)
    for row in rows:
        table.add_row(*map(plain, row))
    needed = Measurement.get(out, out.options.update(width=10_000), table)
    if not out.is_terminal:
        out.width = max(out.width, needed.maximum)  # what is printed to it is never wider than a console
        out.print(table)
    elif needed.minimum <= out.width:
        out.print(table)
    else:
        _print_blocks(title, headings, rows)


def _print_blocks(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if title:
        out.print(f"[italic]{plain(title)}[/]")
    width = max(map(len, headings))
    for row in rows:
        out.print()
        for heading, text in zip(headings, row, strict=True):
            say(f"[bold]{heading:<{width}}[/]  {plain(text)}")
