"""How commands speak: results on stdout, everything else on stderr, errors as one line."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

out = Console()
errors = Console(stderr=True)


class CommandError(Exception):
    """The command did not do what it was asked; the message is one line (or one readable list) for a person."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def print_json(document: Mapping[str, Any]) -> None:
    """For scripts: one JSON document on stdout, without colours or wrapping."""
    print(json.dumps(document, indent=2))
