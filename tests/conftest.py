"""Fixtures that tests of several folders share."""

pytest_plugins = ["support.redis", "support.postgrest", "support.machines"]
