"""Local mode: the platform on SQLite and a folder, a Redis server of its own, a producer, and previews.

`platform` keeps the contract that Supabase keeps, `redis_server` runs a Valkey, `preview` stands in for the image
model. Production imports nothing of it, except what puts the process together (`app`, `cli`, `doctor`) and the API's
local routes. Imports the protocols that it keeps: platform, queue, pose, pictures, and tryon for the image model.
"""
