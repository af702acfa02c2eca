"""One HTTP connection, with the time limit that uvicorn lacks: for a request's head to arrive."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From connecting, or from the last answer's end, to the end of the next request's head. It fits into one packet, so
this is one lost packet and its repetitions; whoever needs longer is holding the connection, not using it."""


class PunctualConnection(H11Protocol):
    """Hangs up on a client that connects and is silent, or drips its request's head (Slowloris).

    uvicorn's keep-alive limit begins with the first answer and ends with the next byte. A body that drips is
    `BodyLimit`'s business; one that nobody asked for, behind an answer that was given already, is ours.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._await_head()

    def handle_events(self) -> None:
        super().handle_events()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        """Begin to wait, unless a request is being answered; more bytes do not begin it anew."""
        # uvicorn types it as always there.
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_waiting()
        elif self._limit is None and not self.transport.is_closing():
            self._limit = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _hang_up(self) -> None:
        self._limit = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()
