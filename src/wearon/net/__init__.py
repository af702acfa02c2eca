"""Connections to others: the guarded downloader of pictures, and the transport to Supabase and OpenAI.

`fetch` downloads, `origins` reads URLs, `addresses` and `guard` keep it on the public internet, `transports` are its
two ways out, `service_transport` carries the services' requests. The only package that knows aiohttp and httpcore;
imports the floor only.
"""

from wearon.net.errors import FetchError
from wearon.net.fetch import PictureFetcher
from wearon.net.origins import Origin

__all__ = ["FetchError", "Origin", "PictureFetcher"]
