"""Every setting of the worker, read once from the environment and `.env`; no other package reads the environment.

`settings` lists every problem at once. Imports net for origins, queue for the bounds of weights, and the table of
image models (`tryon/openai/models.py`).
"""

from wearon.settings.access import LEAST_TOKEN_CHARACTERS, EstimateAccess
from wearon.settings.misspelt import misspelt
from wearon.settings.settings import (
    PRODUCTION_NEEDS,
    Mode,
    Settings,
    SettingsError,
    foreign_uses,
    inspect_settings,
    load_settings,
)
from wearon.settings.values import LEAST_RETENTION_HOURS

__all__ = [
    "LEAST_RETENTION_HOURS",
    "LEAST_TOKEN_CHARACTERS",
    "PRODUCTION_NEEDS",
    "EstimateAccess",
    "Mode",
    "Settings",
    "SettingsError",
    "foreign_uses",
    "inspect_settings",
    "load_settings",
    "misspelt",
]
