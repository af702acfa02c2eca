"""The rights that we need, as operators are told them."""

import re
from pathlib import Path

from wearon.tryon.redis_rights import COMMANDS, acl_rule, name

SOURCE = Path(__file__).parents[3] / "src" / "wearon"
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_operators_are_told_the_rule_that_is_tried() -> None:
    words = OPERATIONS.read_text().replace("\\\n", " ").split()
    told = words[words.index("'>PASSWORD'") + 1 :]
    assert told[: told.index("```")] == acl_rule().split()


def test_each_command_is_tried_once() -> None:
    names = [name(command) for command in COMMANDS]
    assert sorted(set(names)) == sorted(names)


def test_what_scripts_call_is_listed() -> None:
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    called = {command.upper() for text in texts for command in re.findall(r"redis\.p?call\('(\w+)'", text)}
    assert len(called) > 20
    assert called - {name(command) for command in COMMANDS} == set()
