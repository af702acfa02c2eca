"""Sessions, credits and stored pictures: the platform that the worker serves.

`base` says in the worker's own words what is needed of it. `SupabasePlatform` is production's; `wearon.local` has one
that lives on one machine. Other packages import `base` directly and the rest from here.
"""

from wearon.platform.supabase import SupabasePlatform

__all__ = ["SupabasePlatform"]
