"""Sessions, credits and stored pictures: the platform that the worker serves."""
