"""Fixtures that tests of several folders share."""

import gc
import os
from pathlib import Path

from hypothesis import settings

# No test is judged by the clock: on a busy machine an example may take any time.
settings.register_profile("wearon", deadline=None)
# Of CI, which draws new examples at every run: 100 would take it two minutes more.
settings.register_profile("ci", deadline=None, max_examples=25)
# For what was run with all examples already: the same tests on another server, or on another Python.
settings.register_profile("brief", deadline=None, max_examples=20)
settings.register_profile("few", deadline=None, max_examples=5)
settings.load_profile("wearon")

# Each client of a test, and each process, would read the 144 authorities of the system: 50 ms of CPU.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data" / "authority.pem")

# Modules and tests stay until the end: a collector that goes through them again and again takes a fifth of the time in
# which they are collected.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but for what is there already."""
    gc.enable()
    gc.freeze()


pytest_plugins = ["support.redis", "support.postgrest", "support.machines"]
