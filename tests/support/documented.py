"""What the pages show in fences, and what the comment above each says about it.

<!-- run -->               a test runs the commands, in a copy of the clone, beside the server
<!-- serve -->             the command that starts that server
<!-- not run: reason -->   cannot be run by that test
<!-- answer -->            what the run block before it prints: names and types, or lines without their figures
<!-- answer in part -->    there may be more names, or lines
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")})

RUN, SERVE, ANSWER, ANSWER_IN_PART = "run", "serve", "answer", "answer in part"
NOT_RUN = re.compile(r"not run: \w.{9,}")

FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]+) -->\n+)?^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fence of a page."""

    place: str
    """`page:line`, of the fence."""
    language: str
    mark: str
    """What the comment says, or nothing."""
    text: str

    @property
    def is_answer(self) -> bool:
        return self.mark in {ANSWER, ANSWER_IN_PART}


def blocks(page: Path) -> Iterator[Block]:
    """The fences of a page, from top to bottom."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        place = f"{page.relative_to(ROOT)}:{line}"
        yield Block(place, found["language"], found["mark"] or "", textwrap.dedent(found["text"]))
