"""The console at `/console`: one page for operators and shop support, and the JSON behind it.

`pages` hands out the page itself, `access` says who may use what, `login` knows a cookie from a forgery, `live`
streams, `sessions`, `actions` and `studios` are the views' routes, and `mount` puts it all onto the application.
"""
