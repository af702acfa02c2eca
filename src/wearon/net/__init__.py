"""Fetching what others point us at."""

from wearon.net.errors import FetchError
from wearon.net.fetch import PictureFetcher
from wearon.net.origins import Origin

__all__ = ["FetchError", "Origin", "PictureFetcher"]
