"""Sessions, credits and stored pictures: the platform that the worker serves.

`base` says in the worker's own words what is needed of it. `SupabasePlatform` is production's, `LocalPlatform`
lives on one machine. Of this package's modules, `base` is for everybody; the others are reached through here.
"""

from wearon.platform.local import LocalPlatform
from wearon.platform.supabase import SupabasePlatform

__all__ = ["LocalPlatform", "SupabasePlatform"]
