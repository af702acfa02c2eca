"""Redis connections: how we connect, what errors mean, and what is known of its health.

`clients` makes them, `connection` and `errors` sort what goes wrong, `url` reads REDIS_URL, `scripts` loads Lua
files, `health` remembers refusals for `/health`. Imports `dependencies` only.
"""
