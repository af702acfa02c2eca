"""One HTTP connection: what uvicorn answers by itself in our words, and the time limit that it lacks for a head."""

import asyncio
import json
import secrets
from typing import Any

import h11
import structlog
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from wearon.api import estimate
from wearon.api.middleware import RequestId

log = structlog.get_logger()

HEAD_SECONDS = 10.0
"""From connecting, or from the first byte after an answer, to the end of the request's head. It fits into one packet,
so this is one lost packet and its repetitions; whoever needs longer is holding the connection, not using it."""


BUSY_RETRY_AFTER_S = "2"
"""Connections come free when estimates end, within a second, or when silent ones are hung up on."""


class PunctualConnection(H11Protocol):
    """Hangs up on a client that connects and is silent, or drips its request's head (Slowloris).

    uvicorn's keep-alive limit begins with an answer and ends with the next byte. A body that drips is `BodyLimit`'s
    business; one that nobody asked for, behind an answer that was given already, is ours.
    """

    _limit: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most = self.limit_concurrency or 0
        self.limit_concurrency = None  # uvicorn's own answer is plain text, without a request id

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._await_head()

    def handle_events(self) -> None:
        crowded = 0 < self._most <= max(len(self.connections), len(self.tasks))
        self.app = _busy if crowded else self.config.loaded_app
        super().handle_events()
        self._await_head()

    def on_response_complete(self) -> None:
        """uvicorn's: begins its keep-alive limit, or the next request when that has come already."""
        super().on_response_complete()
        self._await_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 # uvicorn's words
        """Answer a request that cannot be read, and hang up; within an answer that has begun, just hang up."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            request_id = f"req_{secrets.token_hex(12)}"
            log.info("request cannot be read", request_id=request_id)
            body = json.dumps({"detail": "The request cannot be read"}).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("X-Request-Id", request_id),
                ("Connection", "close"),
            ]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: uvicorn's advice to install a WebSocket library is none for us, and any caller can ask for it."""

    def _await_head(self) -> None:
        """Begin to wait, unless a request is being answered or none has begun; more bytes do not begin it anew."""
        # uvicorn types it as always there.
        cycle: Any = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering or self._between_requests():
            self._stop_waiting()
        elif self._limit is None and not self.transport.is_closing():
            self._limit = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _between_requests(self) -> bool:
        """Whether the last request is over and nothing of the next is here; uvicorn's keep-alive limit runs then."""
        return (
            self.timeout_keep_alive_task is not None
            and self.conn.their_state is h11.IDLE
            and not self.conn.trailing_data[0]
        )

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _hang_up(self) -> None:
        self._limit = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()


async def _say_busy(scope: Scope, receive: Receive, send: Send) -> None:
    detail = estimate.UNAVAILABLE if scope["path"] == "/estimate-body" else "Too many connections"
    headers = {"Retry-After": BUSY_RETRY_AFTER_S, "Connection": "close"}
    await JSONResponse({"detail": detail}, 503, headers)(scope, receive, send)


_busy = RequestId(_say_busy)
"""Instead of the app when there are too many connections."""
