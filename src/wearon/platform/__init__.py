"""Sessions, credits and stored pictures: the platform that the worker serves.

`base` says in the worker's own words what is needed of it. `SupabasePlatform` is production's, `LocalPlatform`
lives on one machine. Only the modules named here are for others.
"""

from wearon.platform.local import LocalPlatform

__all__ = ["LocalPlatform"]
