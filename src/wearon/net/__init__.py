"""Connections to others: the guarded downloader of pictures, and the transport to Supabase and OpenAI.

`fetch` downloads, `origins` reads URLs, `addresses` and `guard` keep it on the public internet, `transports` are its
two ways out, `service_transport` carries the services' requests. The only package that knows aiohttp and httpcore;
imports the floor only.

Nothing is imported here: settings read URLs, and a command that prints a version needs no HTTP client for that.
"""
