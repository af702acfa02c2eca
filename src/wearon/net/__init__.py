"""Fetching what others point us at."""

from wearon.net.fetch import FetchError, PictureFetcher
from wearon.net.origins import Origin

__all__ = ["FetchError", "Origin", "PictureFetcher"]
