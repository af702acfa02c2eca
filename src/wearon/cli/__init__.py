"""The `wearon` command."""

from wearon.cli.app import main

__all__ = ["main"]
