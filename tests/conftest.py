"""Fixtures that tests of several folders share."""

from hypothesis import settings

# No test is judged by the clock: on a busy machine an example may take any time.
settings.register_profile("wearon", deadline=None)
settings.load_profile("wearon")

pytest_plugins = ["support.redis", "support.postgrest", "support.machines"]
