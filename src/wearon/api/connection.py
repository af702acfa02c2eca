"""One HTTP connection: what may arrive on it, how it is refused, and how it ends.

httptools parses (llhttp, in C): strict, a hundred times as fast as h11, and without any bound. The bounds are here, and
count before work is done: bytes besides the body (a head, and what chunks are wrapped in) as they are fed to the
parser, fields, and requests that wait behind one another. So a body in chunks of one byte, a field that never ends or
a flood of requests in one packet costs the loop a few milliseconds at most, even before a token is checked.

What cannot be read, or in two ways, is refused, and a refused request is the last one of its connection: nothing after
it is parsed. The connection then lingers for a moment, because closing a socket with unread bytes resets it, and the
reset would overtake the answer.
"""

import asyncio
import json
import secrets
from typing import Any

import httptools
import structlog
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from wearon.api.crowd import Crowd
from wearon.api.exit import Exit
from wearon.api.guesses import client_of
from wearon.api.middleware import ABANDONED, CHEAP, OPEN_PATHS, UNLOGGED
from wearon.api.overload import ESTIMATE, busy
from wearon.api.request_head import has_body, is_too_long, is_unambiguous

log = structlog.get_logger()

HEAD_SECONDS = 10.0
"""From connecting, or from its first byte on a connection that is kept, to the end of a request's head. A head fits
into one packet, so this covers one lost packet and its repetitions; a slower client only holds the connection."""

HEAD_BYTES = 16 * 1024
"""A request's line and fields; honest ones have 1-2 KB. What chunks are wrapped in counts, too."""

BODY_BYTES_PER_FRAMING_BYTE = 32
"""A chunk is wrapped in some 10 bytes, and honest ones have 1 KB or more. Beyond `HEAD_BYTES`, a body may be wrapped in
this share of itself."""

FIELDS = 100
"""Fields that one head may have; browsers behind proxies send thirty."""

FED_AT_ONCE = 4096
"""Bytes between two looks at the bounds above: the parser calls us 700 times for them at most, in 0.2 ms."""

PIPELINED = 8
"""Requests that wait behind the one that is answered. Hardly any client sends even one."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024
LINGER_BYTES_UNREADABLE = 256 * 1024
"""How much may still come behind the last answer: what was on its way, such as the rest of a picture that was
too large, so that the answer arrives. It is discarded unread. After a violation of HTTP less is accepted."""

DROP_EVERY_S = 0.01
"""Between two reads of what is discarded, 256 KB each, so that a client at full speed costs no more."""

UNSENT_SECONDS = 10.0
"""For 48 KB of an answer to be taken by a client that has let 64 KB pile up, and for the rest of the last answer: that
is slower than any usable line."""

PACED = frozenset({400, 401, 403, 404, 405, 413, 429, 503})
"""Refusals that cost the caller nothing. They are delayed when they are many (`Pace`), as are answers on open paths,
the description, and what the app marks as `CHEAP` in the request's state."""

DESCRIPTION = "/openapi.json"
"""Writing it takes a millisecond."""

UNREADABLE = "The request cannot be read"


class PunctualConnection(HttpToolsProtocol):
    """Hangs up on a client that is silent, drips, does not read, or does not keep to HTTP.

    uvicorn's keep-alive limit begins with an answer and ends with the next byte. A body that drips is `BodyLimit`'s
    business.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = httptools.HttpRequestParser(self)  # uvicorn's own reads on behind `Connection: close`
        self._crowd = crowd
        self._waiting: asyncio.TimerHandle | None = None
        self._unsent: asyncio.TimerHandle | None = None
        self._refusal = (400, UNREADABLE)
        self._in_head = False
        self._besides = self._body = 0
        self._deaf = False  # nothing more is parsed
        self._ending = False
        self._dropped = 0
        self._linger_bytes = LINGER_BYTES
        self._answered: RequestResponseCycle
        self._estimating: asyncio.Task[None] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._caller = client_of(self.client[0] if self.client else "")
        if self._crowd.join(self):
            self._await_head()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_sending()
        self._crowd.leave(self)
        super().connection_lost(exc)
        if self._is_awaited():
            self._crowd.hurry.note(self._caller)
        if self._estimating is not None:
            self._give_up_estimate(self._estimating, self._answered)

    def data_received(self, data: bytes) -> None:
        """Parse in small pieces, until one bound is crossed."""
        if self._deaf:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self._await_head()
        try:
            for start in range(0, len(data), FED_AT_ONCE):
                self._feed(data[start : start + FED_AT_ONCE])
        except httptools.HttpParserUpgrade:
            # There is nothing to upgrade to: it is answered like any other, as the last one.
            self._deaf = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(*self._refusal)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self._unsent or self.loop.call_later(UNSENT_SECONDS, self._cut_off, "slow_reader")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_sending()

    # What the parser calls. An error that is raised here ends its work.

    def on_message_begin(self) -> None:
        self._in_head = True
        self._besides = self._body = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # Behind the body. uvicorn would put them among those of the head, which were believed long ago.
            self._give_up(400, UNREADABLE)
        if len(self.headers) >= FIELDS:
            self._give_up(431, f"More than {FIELDS} header fields")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if not is_unambiguous(version, method, self.headers) or (
            self.parser.should_upgrade() and has_body(self.headers)
        ):
            self._give_up(400, UNREADABLE)
        if is_too_long(self.url):
            self._give_up(431, "Path too long, or too many fields in the query")
        if len(self.pipeline) >= PIPELINED:
            # Those before it are answered.
            self._deaf = True
            self.cycle.keep_alive = False
            raise ValueError("too many requests in a row")
        self._in_head = False
        self._stop_waiting()
        self.app = busy if self._crowd.too_large else self.config.loaded_app
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._crowd.works(self)
        super().on_message_complete()

    # What uvicorn calls.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = Exit(self.transport, self.end)
        self._answered, self._estimating = cycle, None

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_last(message: Any) -> None:
                if message["type"] == "http.response.start":
                    if app is not busy and (pause := self._pause(scope, message["status"])):
                        self._crowd.waits(self)  # another caller may need its place meanwhile
                        await asyncio.sleep(pause)
                    if cycle.more_body:
                        cycle.keep_alive = False  # the rest of the request stays unread
                await send(message)

            if scope["path"] == ESTIMATE:
                self._estimating = asyncio.current_task()
            try:
                if await self._is_wanted(cycle):
                    await app(scope, receive, send_last)
            except asyncio.CancelledError:
                if not scope["state"].get(ABANDONED):
                    raise

        super()._start_asgi_task(cycle, answer)  # type: ignore[arg-type] # uvicorn's own names for the same types

    def on_response_complete(self) -> None:
        if self._ending:
            self.server_state.total_requests += 1
            return
        goes_on = bool(self.pipeline)
        super().on_response_complete()
        if goes_on:
            return
        self._crowd.waits(self, known=True)
        if self._in_head:  # of the next request, which came early
            self._unset_keepalive_if_required()
            self._await_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 # uvicorn's words
        self._refuse(400, UNREADABLE)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: uvicorn's advice to install a WebSocket library is none for us, and any caller can ask for it."""

    # What the crowd calls.

    def make_room(self) -> None:
        """Close, because another connection needs the place."""
        self._hang_up("crowded")

    # Refusing and ending.

    def _feed(self, piece: bytes) -> None:
        body_before = self._body
        self.parser.feed_data(piece)
        # A request that began within this piece gets some bytes of the one before counted as its own.
        self._besides += len(piece) - max(0, self._body - body_before)
        if self._besides > HEAD_BYTES + self._body // BODY_BYTES_PER_FRAMING_BYTE:
            if self._in_head:
                self._give_up(431, f"Head larger than {HEAD_BYTES} bytes")
            self._give_up(400, "Body in chunks that are too small")

    def _give_up(self, status: int, detail: str) -> None:
        self._refusal = (status, detail)
        raise httptools.HttpParserError(detail)

    def _refuse(self, status: int, detail: str) -> None:
        """Refuse the newest request, if no other is still to be answered, and hang up behind the last answer."""
        self._deaf = True
        self._linger_bytes = LINGER_BYTES_UNREADABLE
        self._stop_waiting()
        # uvicorn types it as always there.
        cycle: Any = self.cycle
        if self.pipeline and cycle.more_body:
            self.pipeline.popleft()  # the newest, which is broken: the one before it becomes the last
            last = self.pipeline[0][0] if self.pipeline else self._answered
            last.keep_alive = False
        elif cycle is None or cycle.response_complete:
            self._say(status, detail)
        elif not cycle.more_body:
            cycle.keep_alive = False
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.end()
            else:
                self._say(status, detail)

    async def _is_wanted(self, cycle: RequestResponseCycle) -> bool:
        """False for a question of an address that often hangs up, when its caller has, too, after a moment."""
        path, method = cycle.scope["path"], cycle.scope["method"]
        asks_only = path == ESTIMATE or method in {"GET", "HEAD"}  # what changes something is done in any case
        pause = self._crowd.hurry.pause(self._caller) if asks_only and path not in OPEN_PATHS else 0.0
        if pause:
            await asyncio.sleep(pause)
        return not (pause and cycle.disconnected)

    def _is_awaited(self) -> bool:
        """Whether a whole request is here, and its answer is not given."""
        cycle: Any = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete and not self._ending

    def _give_up_estimate(self, work: "asyncio.Task[None]", asked: RequestResponseCycle) -> None:
        """End work whose answer nobody wants: 64 callers who hung up after 50 ms and came again held all places."""
        if asked.more_body or asked.response_complete:
            return  # the body's reader is told, or all is done
        state = asked.scope["state"]
        if UNLOGGED not in state:  # it is not refused already
            self._crowd.refusals.pause()
            state[UNLOGGED] = self._crowd.refusals.too_many
        state[ABANDONED] = asked.disconnected = True
        work.cancel()

    def _pause(self, scope: Scope, status: int) -> float:
        if scope["path"] in OPEN_PATHS:
            return self._crowd.health_answers.pause()
        if not (status in PACED or scope["path"] == DESCRIPTION or scope["state"].get(CHEAP)):
            return 0.0
        pause = self._crowd.refusals.pause()
        scope["state"][UNLOGGED] = self._crowd.refusals.too_many
        return pause

    def _say(self, status: int, detail: str) -> None:
        pause = self._crowd.refusals.pause()
        if pause and not self.transport.is_closing():
            self._crowd.waits(self)
            self._waiting = self.loop.call_later(pause, self._say_now, status, detail)
        else:
            self._say_now(status, detail)

    def _say_now(self, status: int, detail: str) -> None:
        request_id = f"req_{secrets.token_hex(12)}"
        log.info("request cannot be read", request_id=request_id, status=status, reason=detail)
        self._crowd.count("unreadable")
        body = json.dumps({"detail": detail}).encode()
        self.transport.write(
            STATUS_LINE[status] + b"content-type: application/json\r\n"
            b"content-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n\r\n%s"
            % (len(body), request_id.encode(), body)
        )
        self.end()

    def end(self) -> None:
        """Close behind the last answer: at once when nothing more comes, else when that answer has arrived."""
        if self._ending or self.transport.is_closing():
            return
        cycle: Any = self.cycle
        all_read = not self._dropped and cycle is not None and not cycle.more_body and not self._in_head
        self._ending = self._deaf = True
        self._stop_waiting()
        self._crowd.waits(self)
        if all_read:
            self.transport.close()
            self._waiting = self.loop.call_later(UNSENT_SECONDS, self.transport.abort)
        else:
            self.flow.resume_reading()
            self.transport.write_eof()
            self._waiting = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _drop(self, length: int) -> None:
        self._dropped += length
        if self._dropped > self._linger_bytes:
            self.transport.abort()
        elif not self.flow.read_paused:
            self.flow.pause_reading()
            self.loop.call_later(DROP_EVERY_S, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _hang_up(self, reason: str) -> None:
        """End the connection without an answer."""
        self._stop_waiting()
        if not self.transport.is_closing():
            self._crowd.count(reason)
            self._ending = self._deaf = True
            self.transport.close()
            self._waiting = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _cut_off(self, reason: str) -> None:
        self._unsent = None
        self._crowd.count(reason)
        self.transport.abort()

    # Time limits.

    def _await_head(self) -> None:
        """Begin to wait, unless a request is being answered; more bytes do not begin it anew."""
        cycle: Any = self.cycle
        if self._waiting is None and (cycle is None or cycle.response_complete):
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._hang_up, "no_head")

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_sending(self) -> None:
        if self._unsent is not None:
            self._unsent.cancel()
            self._unsent = None
