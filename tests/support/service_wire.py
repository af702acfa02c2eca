"""respx in the place of the connections to Supabase and OpenAI: below httpx, where it knows httpcore's by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import respx
from respx.mocks import AbstractRequestMocker


class ServiceWire(AbstractRequestMocker):
    """Takes the requests that `ServiceTransport` is given."""

    name = "service"
    targets: ClassVar[list[str]] = ["wearon.net.service_transport.ServiceTransport"]
    target_methods: ClassVar[list[str]] = ["handle_async_request"]

    @classmethod
    def to_httpx_request(cls, **kwargs: Any) -> httpx.Request:
        request = kwargs["request"]
        assert isinstance(request, httpx.Request)
        return request

    @classmethod
    async def from_async_httpx_response(
        cls, httpx_response: httpx.Response, target: Any, **kwargs: Any
    ) -> httpx.Response:
        return httpx_response


@contextmanager
def stubbed(url: str) -> Iterator[respx.MockRouter]:
    """Routes below `url`; every one must be called."""
    with respx.mock(base_url=url, using=ServiceWire.name) as router:
        yield router
