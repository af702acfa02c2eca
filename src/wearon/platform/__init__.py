"""Sessions, credits and stored pictures: the platform that the worker serves.

`base` says in the worker's own words what is needed of it. `supabase` is production's; `wearon.local` has one that
lives on one machine. Other packages import `base`; only `wearon.app` knows which platform it is.
Imports net for the connections.
"""
