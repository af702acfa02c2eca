"""Fetching what others point us at."""
