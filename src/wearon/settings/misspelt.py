"""Variables that nothing reads, but whose names are nearly those of settings: a part of `wearon.settings`."""

import difflib
import os
from collections.abc import Collection, Iterable, Mapping

from dotenv import dotenv_values

from wearon.settings import env_file as env_files
from wearon.settings.env_file import ENV_FILE
from wearon.settings.settings import Settings

NEAR = 0.83
"""Share of the characters that are the same (difflib). WORKER_CONCURENCY and OPENAI_KEY are near to a setting; the
system's SSL_CERT_DIR (0.80) is not."""

NOT_OURS = "OTEL_"
"""OpenTelemetry's SDK reads many more of these than we do."""

LONGEST = 64
"""Characters of a name that is looked at: twice as many as any setting has. Comparing takes their product."""


def misspelt() -> Mapping[str, str]:
    """The names of variables, in the environment and `.env`, that look like a setting -> the setting.

    Only settings that are not set count: beside one that is, the variable is most likely another program's.
    """
    written: Iterable[str] = ()
    if env_files.problem_with(ENV_FILE) is None:
        written = dotenv_values(ENV_FILE, interpolate=False, encoding="utf-8-sig")
    return near_misses([*os.environ, *written], [name.upper() for name in Settings.model_fields])


def near_misses(names: Collection[str], settings: Iterable[str]) -> Mapping[str, str]:
    """Names that are no settings, but close to a setting that is not among the names."""
    there = {name.upper() for name in names}
    known = set(settings)
    absent = sorted(known - there)
    found = {}
    for name in sorted(names):
        upper = name.upper()
        if upper not in known and not upper.startswith(NOT_OURS) and len(name) <= LONGEST:
            for meant in difflib.get_close_matches(upper, absent, n=1, cutoff=NEAR):
                found[name] = meant
    return found
