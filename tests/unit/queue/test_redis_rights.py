"""The rights that we need, as operators are told them: all that is sent, and nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from redis.asyncio import Redis

from wearon.queue.redis_rights import COMMANDS, HELPFUL, acl_rule, name

SOURCE = Path(__file__).parents[3] / "src" / "wearon"
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"

CLIENTS = frozenset({"client", "redis", "pipe", "pool", "blocking", "_redis", "_blocking"})
"""What a Redis client or a pipeline is called in our code. One of another name leaves its rights without a user."""

METHODS = frozenset(method for method in dir(Redis) if not method.startswith("_"))

SENT_BY: dict[str, tuple[str, ...]] = {
    "aclose": (),
    "config_get": ("CONFIG|GET",),
    "decr": ("DECRBY",),
    "delete": ("DEL",),
    "from_pool": (),
    "incr": ("INCRBY",),
    "pipeline": ("MULTI", "EXEC"),
    "register_script": ("EVALSHA", "SCRIPT|LOAD"),
}
"""Methods of redis-py that send something else than what they are called."""

OF_CONNECTIONS = {"CLIENT|SETNAME"}
"""What redis-py sends when it has connected."""

AROUND = {"MULTI", "EXEC", "DISCARD", *HELPFUL}
"""What the rule allows beside the commands that are tried."""


def test_operators_are_told_the_rule_that_is_tried() -> None:
    words = OPERATIONS.read_text().replace("\\\n", " ").split()
    told = words[words.index("'>PASSWORD'") + 1 :]
    assert told[: told.index("```")] == acl_rule().split()


def test_each_command_is_tried_once() -> None:
    names = [name(command) for command in COMMANDS]
    assert sorted(set(names)) == sorted(names)


def test_all_that_is_sent_is_listed_and_nothing_else() -> None:
    listed = {name(command) for command in COMMANDS}
    sent = {*OF_CONNECTIONS, *_by_scripts(), *_by_clients()}
    assert sent - listed - AROUND == set()
    assert listed - sent == set()


def _by_scripts() -> Iterator[str]:
    for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.lua")]:
        for command in re.findall(r"(?:redis\.p?call\(|\bask\([^,]+, )'(\w+)'(?:, '(\w+)')?", path.read_text()):
            yield name(command)


def _by_clients() -> Iterator[str]:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if "redis" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                receiver, method = ast.unparse(node.func.value).rpartition(".")[2], node.func.attr
                if receiver in CLIENTS and method in METHODS:
                    yield from SENT_BY.get(method, (method.upper(),))


def test_no_script_hides_between_the_lines_of_python() -> None:
    assert [path.name for path in SOURCE.rglob("*.py") if re.search(r"redis\.p?call\('", path.read_text())] == []
