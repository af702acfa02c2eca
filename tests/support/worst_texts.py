"""Feeds every pattern of wearon the texts that are the worst for it, and prints which one it is at.

Run as a script, in a process that the system ends when it takes too long: a pattern that looks through the rest of a
text from each of its characters needs minutes for 200 KB.
"""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

kinds: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

LENGTH = 200_000

Pattern = re.Pattern[str] | re.Pattern[bytes]


def patterns() -> Iterator[tuple[str, Pattern, set[str]]]:
    """Every pattern that a module of wearon compiles: where, the pattern, and by which methods it is used."""
    import wearon

    source = Path(wearon.__file__).parent
    trees = {path: ast.parse(path.read_text()) for path in sorted(source.rglob("*.py"))}
    used: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                used.setdefault(_name(path, owner), set()).add(node.attr)
    for path, tree in trees.items():
        if "re.compile(" not in ast.unparse(tree):
            continue
        module = importlib.import_module("wearon." + ".".join(path.relative_to(source).with_suffix("").parts))
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and f"{name} = re.compile(" in path.read_text():
                yield f"{path.name}: {name}", value, used.get(_name(path, name), set())


def _name(path: Path, name: str) -> str:
    """A private name is its module's alone: another one may use its own otherwise."""
    return f"{path}: {name}" if name.startswith("_") else name


def samples(pattern: Pattern) -> list[str]:
    """A few texts that parts of the pattern match: each of its literals, and a character of each of its classes."""
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    found: list[str] = []
    _collect(parser.parse(source, pattern.flags), found)
    return list(dict.fromkeys(text for text in found if text))[-10:]


def _collect(tree: Any, found: list[str]) -> str:
    """One text that the whole of `tree` matches, about; those of its parts are added to `found`."""
    whole = ""
    for kind, value in tree:
        if kind is not kinds.LITERAL:
            found.append(whole)  # a beginning without its end
        whole += _one(kind, value, found)
    found.append(whole)
    return whole


def _one(kind: Any, value: Any, found: list[str]) -> str:
    """As `_collect`, for one part."""
    if kind is kinds.LITERAL:
        return chr(int(value))
    if kind is kinds.NOT_LITERAL:
        return "x" if value != ord("x") else "y"
    if kind is kinds.ANY:
        return "x"
    if kind is kinds.IN:
        return _in_class(value)
    if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}:
        return _collect(value[2], found) * int(value[0])
    if kind is kinds.SUBPATTERN:
        return _collect(value[3], found)
    if kind is kinds.ATOMIC_GROUP:
        return _collect(value, found)
    if kind is kinds.BRANCH:
        branches = [_collect(branch, found) for branch in value[1]]
        return branches[0]
    if kind in {kinds.ASSERT, kinds.ASSERT_NOT}:
        text = _collect(value[1], found)
        return text if kind is kinds.ASSERT and int(value[0]) < 0 else ""
    return ""


def _in_class(members: Any) -> str:
    for character in "aA0_-. x\n@/~%":
        if re.compile(f"[{_as_class(members)}]").match(character):
            return character
    return "x"


def _as_class(members: Any) -> str:
    text = ""
    for kind, value in members:
        if kind is kinds.NEGATE:
            text += "^"
        elif kind is kinds.LITERAL:
            text += re.escape(chr(value))
        elif kind is kinds.RANGE:
            text += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif kind is kinds.CATEGORY:
            text += {
                "CATEGORY_SPACE": r"\s",
                "CATEGORY_NOT_SPACE": r"\S",
                "CATEGORY_WORD": r"\w",
                "CATEGORY_NOT_WORD": r"\W",
                "CATEGORY_DIGIT": r"\d",
                "CATEGORY_NOT_DIGIT": r"\D",
            }[str(value)]
    return text


def worst(pattern: Pattern) -> Iterator[str]:
    """Long runs of what the pattern looks for, which end in something else."""
    texts = samples(pattern)
    for text in (*texts, "a", " "):
        yield text * (LENGTH // len(text)) + "\0"
    for start in texts[-2:]:
        for text in ("a", "0", " ", "a."):
            yield start + text * (LENGTH // len(text)) + "\0"


def feed(pattern: Pattern, methods: set[str]) -> None:
    """Each of the worst, by the methods that are used."""
    for text in worst(pattern):
        given: Any = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        if methods & {"search", "sub", "findall", "finditer"} or not methods & {"match", "fullmatch"}:
            sum(1 for _ in pattern.finditer(given))
        if methods & {"match", "fullmatch"}:
            pattern.match(given)
            pattern.fullmatch(given)


if __name__ == "__main__":
    only = sys.argv[1:]
    for where, found_pattern, by in [("given", re.compile(only[0]), {"search"})] if only else patterns():
        print(where, flush=True)
        feed(found_pattern, by)
