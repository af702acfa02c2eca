"""Commands that are imported when they are run.

Most of them need Redis, numpy or the platform, whose imports take a second; `wearon --help` and the shell's completion
should not. So the list of commands holds their names and summaries only (a test compares them with the commands).
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command by name: `object` of `module` is its function, or a Typer with commands of its own."""

    module: str
    object: str
    summary: str

    def load(self) -> Any:
        """The command itself; typer has no public name for its type."""
        with nothing_collected():
            found = getattr(import_module(self.module), self.object)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            found = alone
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


def lazy_group(commands: Mapping[str, Lazy]) -> type[TyperGroup]:
    """A group of these commands, for `typer.Typer(cls=...)`, beside those that are registered as usual."""

    class LazyGroup(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, found, rest = super().resolve_command(ctx, args)
            return name, commands[name].load() if name is not None and name in commands else found, rest

    return LazyGroup


def register(app: typer.Typer, commands: Mapping[str, Lazy]) -> None:
    """Register the commands for help and completion."""
    for name, command in commands.items():
        app.command(name, help=command.summary)(_stands_in)


def _stands_in() -> None:
    """Placeholder that is never run, because the group resolves the command itself."""
