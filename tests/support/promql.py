"""As much of PromQL as it takes to see which metrics, labels and values an expression asks for, and if they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from support.exposition import Scrape

OF_THE_TARGET = frozenset({"instance", "job"})
"""Labels that Prometheus itself adds to every sample, `up` among them."""

WORDS = frozenset({"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "inf", "nan"})

TOKEN = re.compile(
    r"""
      (?P<string>"(?:\\.|[^"\\])*")
    | (?P<range>\[[^\]]*\])
    | (?P<number>\d[\w.]*)               # durations, too
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/%^(){},=<>])
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Selector:
    """One metric that is asked for, and its label matchers: label, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Query:
    """What an expression asks for."""

    selectors: tuple[Selector, ...]
    grouped_by: frozenset[str]
    functions: frozenset[str]


def read_query(expression: str) -> Query:
    """Raises ValueError for what is no expression."""
    tokens = list(_tokens(expression))
    selectors: list[Selector] = []
    grouped: set[str] = set()
    functions: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if kind != "name":
            continue
        if text in {"by", "without", "on", "ignoring"}:
            end = tokens.index(("operator", ")"), at)
            grouped |= {label for token, label in tokens[at:end] if token == "name"}
            at = end + 1
        elif following == "{":
            end = tokens.index(("operator", "}"), at)
            selectors.append(Selector(text, tuple(_matchers(tokens[at + 1 : end]))))
            at = end + 1
        elif following == "(" or (following in {"by", "without"}):
            functions.add(text)
        elif text not in WORDS:
            selectors.append(Selector(text, ()))
    return Query(tuple(selectors), frozenset(grouped), frozenset(functions))


def what_is_missing(query: Query, found: Scrape) -> Iterator[str]:
    """What the query asks for and the scrape does not have: metrics, labels, values of labels."""
    known = set(OF_THE_TARGET)
    for selector in query.selectors:
        labels = found.labels(selector.metric)
        known |= set(labels)
        if selector.metric == "up":
            labels = {label: set(value.split("|")) for label, _, value in selector.matchers if label in OF_THE_TARGET}
        elif selector.metric not in found.names:
            yield f"there is no {selector.metric}"
            continue
        for label, operator, value in selector.matchers:
            wanted = set(value.split("|")) if operator in {"=~", "!~"} else {value}
            if missing := wanted - labels.get(label, set()):
                yield f"{selector.metric} never has {label} {sorted(missing)}"
    if query.grouped_by - known:
        yield f"nothing has {sorted(query.grouped_by - known)}"


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        found = TOKEN.match(expression, at)
        if found is None or found.lastgroup is None:
            raise ValueError(f"no PromQL at {expression[at : at + 20]!r}")
        at = found.end()
        if found.lastgroup not in {"space", "range"}:
            yield found.lastgroup, found.group()


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    inside = [text for _, text in tokens if text != ","]
    for label, operator, value in zip(inside[::3], inside[1::3], inside[2::3], strict=True):
        yield label, operator, value.strip('"')
