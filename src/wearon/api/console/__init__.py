"""The console at `/console`: one page for operators and shop support, and the JSON behind it.

`pages` serves the page, `access` guards it, `login` makes and checks cookies, `live` streams the status, `sessions`,
`actions` and `studios` are the views' routes, and `mount` adds everything to the application.
"""
