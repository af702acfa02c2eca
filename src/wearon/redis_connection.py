"""The one place where errors of Redis connections become ours, and where what is sent and answered is heard.

On top of redis-py's connection classes and only by what they show: `wearon.redis` makes its pools from these.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from wearon.redis_errors import AnswerTooLarge, RedisUnavailable, ours
from wearon.redis_watch import RedisWatch

OnCommand = Callable[[str], None]
"""Told of every command sent, pipelines' and greetings' (HELLO, CLIENT) too: hosted Redis bills them all."""

if TYPE_CHECKING:
    _Plain = AbstractConnection
else:
    _Plain = object


def watched(plain: type[AbstractConnection], watch: RedisWatch, on_command: OnCommand | None) -> Any:
    """A connection class that tells `watch` and `on_command` of what becomes of commands, and whose errors are ours."""
    heard = {"watch": watch, "on_command": None if on_command is None else staticmethod(on_command)}
    return type("WatchedConnection", (_Watched, plain), heard)


class _Counted:
    """A stream of which no more than `limit` bytes are read for one answer."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.read_bytes = 0

    async def read(self, size: int) -> bytes:
        """Raises AnswerTooLarge."""
        data: bytes = await self._stream.read(size)
        self.read_bytes += len(data)
        if self.read_bytes > self._limit:
            raise AnswerTooLarge(f"an answer of Redis is longer than {self._limit} bytes")
        return data


def bounded_parser(limit: int) -> Any:
    """redis-py's parser, which by itself collects whatever comes: an answer may be `limit` bytes long."""

    class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type] # one of two classes, as hiredis is there or not
        def on_connect(self, connection: Any) -> None:
            super().on_connect(connection)
            self._stream: Any = _Counted(connection._reader, limit)  # noqa: SLF001 (as redis-py's own does)

        async def read_response(self, *args: Any, **options: Any) -> Any:
            if self._stream is not None:
                self._stream.read_bytes = 0
            return await super().read_response(*args, **options)

    return BoundedParser


class _Watched(_Plain):
    """Goes before the plain class."""

    watch: RedisWatch
    on_command: OnCommand | None
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
        if self.is_connected and self._opened_at is not None and self._opened_at < self.watch.broken_at:
            await self.disconnect(nowait=True)
        if self.is_connected:
            return
        began = time.monotonic()
        waiting, self._sent = self._sent, deque()  # redis-py packs a command before it connects
        self._opened_at, self._greeting = None, True
        try:
            await super().connect(*args, **options)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - uvloop raises RuntimeErrors for a reset connection
            self._greeting = False
            await self._fail(error, waiting[0] if waiting else ())
        self._opened_at, self._greeting, self._sent = began, False, waiting

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], *args: Any, **options: Any) -> None:
        """Send; see `_fail`."""
        try:
            await super().send_packed_command(command, *args, **options)
        except Exception as error:  # noqa: BLE001
            await self._fail(error, self._sent[0] if self._sent else ())

    async def can_read_destructive(self) -> bool:
        """Whether something is there that nobody has asked for."""
        try:
            return bool(await super().can_read_destructive())  # type: ignore[no-untyped-call]
        except Exception as error:
            # Not one of ours: this is how redis-py finds out that an idle connection was closed, and it connects anew.
            raise RedisConnectionError(str(error)) from error

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """An answer; see `_fail`."""
        command = self._sent.popleft() if self._sent else ()
        try:
            response = await super().read_response(*args, **options)
            _look_through_a_transaction(response)
        except Exception as error:  # noqa: BLE001
            await self._fail(error, command)
        if not self._greeting:
            self.watch.answered(_asked(command))
        return response

    async def disconnect(self, *args: Any, **options: Any) -> None:
        """A connection that cannot even be closed is gone as well."""
        self._sent.clear()
        with suppress(Exception):
            await super().disconnect(*args, **options)

    async def _fail(self, error: Exception, command: Sequence[Any]) -> None:
        """Raise it as one of our errors, once the connection is closed if it is of no use any more."""
        if self._greeting and isinstance(error, ResponseError):
            raise error  # redis-py goes on without some of what it says in its greeting; else see `connect`
        found = ours(error, command)
        if isinstance(found, RedisUnavailable):
            if found is not error:  # else it has been told of, further in
                self.watch.unavailable(found, _asked(command), self._opened_at)
            await self.disconnect(nowait=True)
        elif isinstance(found, ResponseError) and not isinstance(found, NoScriptError):
            self.watch.complained(found, _asked(command))
        if found is error:
            raise found
        raise found from error


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
    """What tells a command from others: scripts are told apart by their digest."""
    if not command:
        return ""
    name = _name(command)
    return f"{name} {command[1]}" if name == "EVALSHA" else name
