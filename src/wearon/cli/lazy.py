"""Commands that are imported when they are run.

Most of them need Redis, numpy or the platform, whose imports take a second; `wearon --help` and the shell's completion
should not. So the list of commands holds their names and summaries only (a test compares them with the commands).
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

MODULES = {"resume": "pause"}
"""Of commands that share one; each of the others has a module of its name."""


def load(name: str) -> Any:
    """The command itself: its module's function of that name, or `app` with commands of its own.

    (typer has no public name for its type.)
    """
    name = name.replace("-", "_")
    with nothing_collected():
        module = import_module(f"wearon.cli.{MODULES.get(name, name)}")
    found = getattr(module, "app", None)
    if found is None:
        found = typer.Typer(add_completion=False)
        found.command()(getattr(module, name))
    return get_command(found)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Switch the garbage collector off during imports: they make 130,000 objects and hardly any garbage, and it takes a
    tenth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def lazy_group(commands: Mapping[str, str]) -> type[TyperGroup]:
    """A group of these commands, for `typer.Typer(cls=...)`, beside those that are registered as usual."""

    class LazyGroup(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, found, rest = super().resolve_command(ctx, args)
            return name, load(name) if name is not None and name in commands else found, rest

    return LazyGroup


def register(app: typer.Typer, commands: Mapping[str, str]) -> None:
    """Register the commands for help and completion."""
    for name, summary in commands.items():
        app.command(name, help=summary)(_stands_in)


def _stands_in() -> None:
    """Placeholder that is never run, because the group resolves the command itself."""
