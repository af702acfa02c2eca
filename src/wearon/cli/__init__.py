"""The `wearon` command."""
