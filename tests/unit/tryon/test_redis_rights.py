"""The rights that we need, as operators are told them."""

from pathlib import Path

from wearon.tryon.redis_rights import COMMANDS, acl_rule, name

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_operators_are_told_the_rule_that_is_tried() -> None:
    words = OPERATIONS.read_text().replace("\\\n", " ").split()
    told = words[words.index("'>PASSWORD'") + 1 :]
    assert told[: told.index("```")] == acl_rule().split()


def test_each_command_is_tried_once() -> None:
    names = [name(command) for command in COMMANDS]
    assert sorted(set(names)) == sorted(names)
