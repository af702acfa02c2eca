"""The HTTP API: connections, middleware, routes, `/health`, `/metrics`, and the console with its page.

`app` builds the application, `connection` and `crowd` bound what comes before it, `estimate` answers `POST
/estimate-body`, `console` is the operators' page. Imports everything that it shows or asks, and nothing imports it
but `app` and `doctor`.
"""
