"""Redis scripts: the `.lua` files in the folder `scripts` of the package that calls them."""

from functools import cache
from importlib.resources import files

SHARED = "shared.lua"
"""What all scripts of a package begin with, where there is such a file."""


@cache
def load_script(package: str, name: str, shared_by: str | None = None) -> str:
    """The text of a script, such as `take` of `queue`, behind what the package's scripts share.

    `shared_by` is another package whose scripts' beginning it needs.
    """
    script = files("wearon") / package / "scripts" / f"{name}.lua"
    shared = files("wearon") / (shared_by or package) / "scripts" / SHARED
    return (shared.read_text("utf-8") if shared.is_file() else "") + script.read_text("utf-8")
