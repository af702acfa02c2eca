"""The running API, for every test here."""

from support.api_process import api, pictures

__all__ = ["api", "pictures"]
