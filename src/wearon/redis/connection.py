"""The one place where errors of Redis connections become ours, and where what is sent and answered is heard.

On top of redis-py's connection classes and only by what they show: `wearon.redis.clients` makes its pools from these.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.backoff import AbstractBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from wearon.redis.errors import AnswerTooLarge, RedisUnavailable, ours
from wearon.redis.health import RedisHealth

START_BYTES = 2048
"""Kept of an answer that is too long: its beginning says which command it belongs to."""

OnCommand = Callable[[str], None]
"""Told of every command sent, pipelines' and greetings' (HELLO, CLIENT) too: hosted Redis bills them all."""

if TYPE_CHECKING:
    _Plain = AbstractConnection
else:
    _Plain = object


def reporting(
    plain: type[AbstractConnection],
    health: RedisHealth,
    on_command: OnCommand | None,
    retries: int,
    pauses: AbstractBackoff,
) -> Any:
    """A connection class that reports each command to `health` and `on_command`, and whose errors are ours.

    A server that cannot be connected to is tried again, `retries` times.
    """
    heard = {"health": health, "on_command": None if on_command is None else staticmethod(on_command)}
    return type("ReportingConnection", (_Reporting, plain), {**heard, "retries": retries, "pauses": pauses})


class _Counted:
    """A stream of which no more than `limit` bytes are read for one answer."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.begin()

    def begin(self) -> None:
        """Start counting for another answer."""
        self.read_bytes, self._start = 0, b""

    async def read(self, size: int) -> bytes:
        """Read from the stream. Raises AnswerTooLarge."""
        data: bytes = await self._stream.read(size)
        self.read_bytes += len(data)
        if len(self._start) < START_BYTES:
            self._start += data[: START_BYTES - len(self._start)]
        if self.read_bytes > self._limit:
            raise AnswerTooLarge(f"an answer of Redis is longer than {self._limit} bytes", self._start)
        return data

    def __getattr__(self, name: str) -> Any:
        """The rest of the stream: redis-py 8 looks whether it holds or has ended before it uses a connection."""
        return getattr(self._stream, name)


def bounded_parser(limit: int) -> Any:
    """redis-py's parser, which by itself collects whatever comes: an answer may be `limit` bytes long."""

    class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type] # one of two classes, as hiredis is there or not
        def on_connect(self, connection: Any) -> None:
            super().on_connect(connection)
            self._stream: Any = _Counted(connection._reader, limit)  # noqa: SLF001 (as redis-py's own does)

        async def read_response(self, *args: Any, **options: Any) -> Any:
            if self._stream is not None:
                self._stream.begin()
            return await super().read_response(*args, **options)

    return BoundedParser


class _Reporting(_Plain):
    """Goes before the plain class."""

    health: RedisHealth
    on_command: OnCommand | None
    retries: int
    pauses: AbstractBackoff
    _opened_at: float | None = None
    _greeting = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sent: deque[Sequence[Any]] = deque()
        """Commands whose answers are still to come, the next one first."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Tell of each command as it is packed, which is once for each that is sent."""
        if self.on_command is not None:
            # `SCRIPT LOAD` is one command of its own to redis-py, and one of SCRIPT's to the bill.
            self.on_command(_name(args).partition(" ")[0])
        self._sent.append(args)
        return super().pack_command(*args)

    async def connect(self, *args: Any, **options: Any) -> None:
        """Connect and greet; anew where the open connection may lead to the wrong server."""
        if self.is_connected and self._opened_at is not None and self._opened_at < self.health.broken_at:
            await self.disconnect(nowait=True)
        if self.is_connected:
            return
        began = time.monotonic()
        waiting, self._sent = self._sent, deque()  # redis-py packs a command before it connects
        self._opened_at, self._greeting = None, True
        try:
            await self._connect_with_retries(*args, **options)
        except Exception as error:  # noqa: BLE001 - uvloop raises RuntimeErrors for a reset connection
            self._greeting = False
            await self._fail(error, waiting[0] if waiting else ())
        self._opened_at, self._greeting, self._sent = began, False, waiting

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], *args: Any, **options: Any) -> None:
        """Send; raises errors of ours (`_fail`)."""
        try:
            if not self.is_connected and not self._greeting:
                await self.connect()  # redis-py 8 would not come by here
            await super().send_packed_command(command, *args, **options)
        except Exception as error:  # noqa: BLE001
            await self._fail(error, self._sent[0] if self._sent else ())

    async def can_read(self) -> bool:
        """Whether something came that was not asked for."""
        return await _is_there(super().can_read())

    async def can_read_destructive(self) -> bool:
        """The name that redis-py 5 has for it."""
        return await _is_there(super().can_read_destructive())

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; raises errors of ours (`_fail`)."""
        command = self._sent.popleft() if self._sent else ()
        try:
            response = await super().read_response(*args, **options)
            _look_through_a_transaction(response)
        except Exception as error:  # noqa: BLE001
            await self._fail(error, command)
        if not self._greeting:
            self.health.answered(_asked(command))
        return response

    async def disconnect(self, *args: Any, **options: Any) -> None:
        """A connection that cannot even be closed is gone as well."""
        self._sent.clear()
        with suppress(Exception):
            await super().disconnect(*args, **options)

    async def _connect_with_retries(self, *args: Any, **options: Any) -> None:
        """Try again what does not open; what opens and then refuses us, or hangs, would do so again."""
        for attempt in count(1):
            try:
                await super().connect(*args, **options)  # type: ignore[no-untyped-call]
            except RedisUnavailable:  # of the greeting
                raise
            except (RedisConnectionError, RedisTimeoutError, OSError):
                if attempt > self.retries:
                    raise
                await asyncio.sleep(self.pauses.compute(attempt))
            else:
                return

    async def _fail(self, error: Exception, command: Sequence[Any]) -> None:
        """Raise it as one of our errors, after closing the connection if it cannot be used again."""
        if self._greeting and isinstance(error, ResponseError):
            raise error  # redis-py goes on without some of what it says in its greeting; else see `connect`
        found = ours(error, command)
        if isinstance(found, RedisUnavailable):
            if found is not error:  # else it has been told of, further in
                self.health.unavailable(found, _asked(command), self._opened_at)
            await self.disconnect(nowait=True)
        elif isinstance(found, ResponseError) and not isinstance(found, NoScriptError):
            self.health.complained(found, _asked(command))
        if found is error:
            raise found
        raise found from error


async def _is_there(asking: Awaitable[Any]) -> bool:
    try:
        return bool(await asking)
    except Exception as error:
        # Not one of ours: this is how redis-py finds out that an idle connection was closed, and it connects anew.
        raise RedisConnectionError(str(error)) from error


def _look_through_a_transaction(response: object) -> None:
    """The answers of a transaction come as one, and errors may lie among them. Raises one about the server."""
    if not isinstance(response, list):
        return
    for number, part in enumerate(response):
        if isinstance(part, Exception):
            response[number] = found = ours(part)
            if isinstance(found, RedisUnavailable):
                raise part


def _name(command: Sequence[Any]) -> str:
    return command[0].decode() if isinstance(command[0], bytes) else str(command[0])


def _asked(command: Sequence[Any]) -> str:
    """The name under which a command is reported; a script's has its digest."""
    if not command:
        return ""
    name = _name(command)
    return f"{name} {command[1]}" if name == "EVALSHA" else name
