"""How much is measured: all of it, or just enough to see that it runs."""

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """`smoke`: the figures mean nothing, the code is shown to run; so three benchmarks run at once."""

    smoke: bool = False

    def pick(self, full: T, smoke: T) -> T:
        """The one that applies."""
        return smoke if self.smoke else full

    @property
    def parts(self) -> tuple[str, ...]:
        """Arguments of `wearon serve` where all of its parts are meant: without the API it is up in half the time."""
        return self.pick((), ("--no-api",))

    @property
    def runs(self) -> int:
        """How often each figure is measured."""
        return self.pick(5, 1)
