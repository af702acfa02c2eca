"""Commands in pages: each is run by a test, or says why not; names of commands, options and routes are real.

`tests/e2e/test_commands_of_pages.py` runs them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.routing import APIRoute
from typer.core import TyperGroup
from typer.main import get_command

from support.api_services import api_services
from support.documented import ANSWER, ANSWER_IN_PART, NOT_RUN, PAGES, ROOT, RUN, SERVE, Block, blocks
from wearon.api.app import create_app
from wearon.cli.app import app

INLINE = re.compile(r"`wearon ([^`]+)`")
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
ROUTE = re.compile(r"`(GET|POST|PUT|DELETE) (/[^`]*)`")
LANGUAGES = {"sh", "json", "yaml", "mermaid", "text"}

SAME_AS_WITHOUT = re.compile(r"./$")
"""Paths that end with a slash stand for those without one."""


def of(page: Path) -> list[Block]:
    return list(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_commands_is_run_or_says_why_not(page: Path) -> None:
    found = of(page)
    assert [block.place for block in found if block.language not in LANGUAGES] == [], "which language?"
    commands = [block for block in found if block.language == "sh"]
    unmarked = [b.place for b in commands if b.mark not in {RUN, SERVE} and not NOT_RUN.fullmatch(b.mark)]
    assert unmarked == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_answer_follows_commands_that_are_run(page: Path) -> None:
    found = of(page)
    before = dict(zip(found[1:], found, strict=False))
    alone = [b.place for b in found if b.mark in {ANSWER, ANSWER_IN_PART} and before[b].mark != RUN]
    assert alone == []


def test_most_are_run() -> None:
    marks = [block.mark for page in PAGES for block in blocks(page) if block.language == "sh"]
    assert marks.count(RUN) > 12
    assert SERVE in marks


def test_commands_and_options_in_the_text_exist() -> None:
    named = {(page.name, words) for page in PAGES for words in INLINE.findall(page.read_text())}
    assert len(named) > 60
    assert sorted(f"{page}: wearon {words}" for page, words in named if not _exists(words.split())) == []


def _exists(words: list[str]) -> bool:
    command: Any = get_command(app)
    while isinstance(command, TyperGroup) and words and words[0] in command.list_commands(typer.Context(command)):
        _, command, words = command.resolve_command(typer.Context(command), words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    wanted = set(OPTION.findall(" ".join(words))) - {"--help", "-h"}
    is_group = isinstance(command, TyperGroup)
    return wanted <= known and not (is_group and words and words[0].isalpha() and words[0].islower())


def _routes(router: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield from ((method, prefix + route.path) for method in route.methods or ())
        elif hasattr(route, "original_router"):  # FastAPI's own record of `include_router`
            yield from _routes(route.original_router, prefix + route.include_context.prefix)


def test_the_page_of_the_api_has_every_route_and_no_other() -> None:
    there = set(_routes(create_app(api_services(local_platform=object()))))
    there = {(method, path.replace(":path}", "}")) for method, path in there if not SAME_AS_WITHOUT.search(path)}
    assert len(there) > 30
    assert set(ROUTE.findall((ROOT / "docs/api.md").read_text())) - {("GET", "/openapi.json")} == there


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [page.name for page in sorted(ROOT.glob("docs/*.md")) if page.name != "README.md"]
    assert [name for name in pages if f"]({name})" not in index] == []
