"""Answers of services that are read to their end before anybody looks at them, with a bound on what that may be.

httpx itself would collect whatever comes until the time is over: gigabytes. Below, `ServiceTransport` unpacks.
"""

import ssl

import httpx

from wearon.net.encodings import ASKED_FOR
from wearon.net.service_transport import ServiceTransport

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Unpacked. The largest honest answer is a list of unfinished sessions: some 300 bytes each."""

OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that are no longer true of an answer that has been read and unpacked."""


class AnswerTooLarge(httpx.RequestError):
    """There is more of it than anybody asked for."""


class WholeAnswers(httpx.AsyncBaseTransport):
    """Around a transport: gives up answers over `MAX_ANSWER_BYTES`."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises AnswerTooLarge, and what the transport raises."""
        request.headers["Accept-Encoding"] = ASKED_FOR
        answer = await self._transport.handle_async_request(request)
        answer.request = request
        body = bytearray()
        try:
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge(f"{answer.status_code}: larger than {MAX_ANSWER_BYTES} bytes")
        finally:
            await answer.aclose()
        headers = [pair for pair in answer.headers.multi_items() if pair[0] not in OF_THE_TRANSFER]
        return httpx.Response(answer.status_code, headers=headers, content=bytes(body), extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._transport.aclose()


def asking(seconds: float, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client for a few questions, each to be answered within `seconds` (of silence)."""
    connections = ServiceTransport(max_connections=10, keep_alive_s=seconds, tls=tls)
    return httpx.AsyncClient(transport=WholeAnswers(connections), timeout=seconds, trust_env=False)
