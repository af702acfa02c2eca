"""One name per concept: words that CONTRIBUTING.md's glossary has replaced do not come back into prose.

Prose is what people read: pages, alarms, docstrings and comments. What stands in backticks or in a code block there is
a name that others have (a Redis key, a label's value, a setting, a JSON field), and stays.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "wearon"
PAGES = sorted(
    {ROOT / ".env.example", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")}
    | {*ROOT.glob("monitoring/*.yml")}
)
MODULES = sorted(
    module for folder in (SOURCE, ROOT / "benchmarks", ROOT / "research") for module in folder.rglob("*.py")
)

INSTEAD = {
    r"\bput(s|ting)? back\b": "retried",
    r"\bby hand\b": "needs review",
    r"\b(the|a) journal\b": "history",
    r"\bwhereabouts\b": "where the session is",
    r"\bletters desk\b": "dead letters",
    r"\bhow-many-eth\b": "attempt number",
    r"\bbur(y|ies|ied)\b": "expired",
    r"^\W*The same, ": "say it again in full",
    r"\bwaits for himself\b": "name the actor",
    r"\bis told of\b": "name the actor",
    r"\bwhoever\b": "name the actor",
}
BANNED = re.compile("|".join(INSTEAD), re.IGNORECASE | re.MULTILINE)

QUOTED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
GLOSSARY = re.compile(r"^## Words$.*?^## ", re.MULTILINE | re.DOTALL)


ONLY_REFERS = re.compile(r"See (the )?`?[\w.]+`?\.|The same (as|for|from|in|with|without)\b[^.]*\.")
"""All of a docstring that says nothing itself."""


def found_in(text: str) -> list[str]:
    return [match.group() for match in BANNED.finditer(QUOTED.sub("``", text))]


def prose_of(module: Path) -> Iterator[str]:
    """Docstrings, also those of constants, and comments."""
    source = module.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    yield from (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_use_the_glossary(page: Path) -> None:
    text = page.read_text()
    if page.name == "CONTRIBUTING.md":
        text = GLOSSARY.sub("", text)  # the glossary names what it replaces
    assert found_in(text) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(ROOT).as_posix())
def test_docstrings_and_comments_use_the_glossary(module: Path) -> None:
    assert [(word, text[:80]) for text in prose_of(module) for word in found_in(text)] == []
    assert [text for text in prose_of(module) if ONLY_REFERS.fullmatch(text.strip())] == []


@pytest.mark.parametrize("text", ["A job is put back.", "The same, for stores.", "A refund that is put right by hand."])
def test_the_words_would_be_found(text: str) -> None:
    assert found_in(text)
    assert not found_in(f"`{text}`")
