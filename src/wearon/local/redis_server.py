"""The local mode's Redis: a server of our own (`wearon.local.redis_binary`), with its data in a folder of ours.

One server a folder, shared by all that find it there: `wearon serve`, `arq`, the command line. The folder, which only
this user may enter, holds

    redis.lock       locked by the server itself (it inherits the open file) for as long as it lives: however it was
                     started and however it ends, no second server starts on the same data
    redis.json       the port: kept from run to run, so that producers can write it down
    password         the server's: without it, other users of this machine could command it
    redis.conf       what that password allows
    redis.log        what the server said since it was last started
    appendonlydir/   the data: written every second, so a kill -9 loses nothing and a power cut at most that second
                     (`appendonly.aof`, as Redis 6.2 of earlier versions wrote it, is taken over at the first start)

On Linux the server ends with the process that started it, also when that is killed; elsewhere it lives on and the
next start attaches to it. While it should run, every `serve` keeps an eye on it: when it dies, or ends with the `serve`
that had started it, one of the others starts it again at the same port (`LocalRedis.keep`).

    LocalRedisError   the server could not be started
"""

import asyncio
import fcntl
import json
import os
import secrets
import socket
from asyncio.subprocess import DEVNULL, STDOUT, Process, create_subprocess_exec
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from wearon.local.home import claim
from wearon.local.redis_binary import HOST, LocalRedisError, server_binary, start_command, write_config, write_private

__all__ = ["LocalRedis", "LocalRedisError", "server_binary"]

log = structlog.get_logger()

DEFAULT_PORT = 6390
"""The port that is tried first. Not 6379: a developer's own Redis is often there."""

START_TIMEOUT_S = 20.0
"""Limit for a start: 50 ms as a rule, but reading a gigabyte of data back takes some seconds."""

STOP_TIMEOUT_S = 10.0
"""Limit for a stop, which writes out a second's data. Then the server is killed, which loses no more than that."""

POLL_S = 0.02
"""Pause between two looks whether it answers yet: well under the 50 ms that a start takes."""

WATCH_S = 0.25
"""Pause between two looks whether another process's server still lives: it tries a lock, which costs nothing."""

PROBE_TIMEOUT_S = 2.0
"""Limit for one look: a loopback server that needs longer is not well."""

LOG_LINES = 10
"""Lines of the log in an error message; the reason is in the last two or three."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a folder's server listens, and what it asks for."""

    port: int
    password: str | None
    """None for a server of an earlier version that still runs."""

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://{f':{self.password}@' if self.password else ''}{HOST}:{self.port}/0"


class LocalRedis:
    """A running server. `url` is for clients; `is_ours` tells whether this process started it."""

    def __init__(self, folder: Path, address: Address, process: Process | None) -> None:
        self._folder = folder
        self._address = address
        self._process = process

    @property
    def url(self) -> str:
        """The URL for clients, with the password. It stays the same for as long as this process uses the server."""
        return self._address.url

    @property
    def is_ours(self) -> bool:
        """False when another process had started the server and we use it along."""
        return self._process is not None

    @classmethod
    async def start(cls, folder: Path, port: int | None = None) -> Self:
        """Start the folder's server, or attach to the one that runs; raises LocalRedisError.

        `port` is a wish (DEFAULT_PORT when None): when it is taken, the server gets a free one and keeps that.

        On Linux the server ends with the thread that called this, so call it in the main thread.
        """
        folder = _prepared(folder)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    # A server that is being started or ended holds the lock without answering: look again.
                    if (lock := _try_lock(folder)) is not None:
                        address = Address(_choose_port(folder, DEFAULT_PORT if port is None else port), _own(folder))
                        return cls(folder, address, await _launch(folder, address, lock))
                    if (running := await _running(folder)) is not None:
                        return cls(folder, running, process=None)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise _no_answer(folder) from None

    @classmethod
    async def find(cls, folder: Path) -> str | None:
        """The URL of the folder's server when one runs and answers."""
        running = await _running(folder)
        return None if running is None else running.url

    async def keep(self) -> None:
        """Start the server again whenever it ends, also another process's; until cancelled. Raises LocalRedisError."""
        while True:
            lock = await self._wait_until_it_ends()
            log.warning("local redis has ended: it is started again", port=self._address.port)
            await self._start_again(lock)

    async def stop(self) -> None:
        """End the server in order when it is ours. Its data stays."""
        if self._process is None or self._process.returncode is not None:
            return
        await _end(self._process)

    async def _wait_until_it_ends(self) -> int:
        """Wait until the server ends, and return the lock that it held."""
        if self._process is not None:
            await self._process.wait()
        while (lock := _try_lock(self._folder)) is None:  # noqa: ASYNC110 - another process's end has no event
            await asyncio.sleep(WATCH_S)
        return lock

    async def _start_again(self, lock: int) -> None:
        """Start it at the same port, which this process's clients know."""
        self._process = None
        if self._address.password is None:
            os.close(lock)
            raise LocalRedisError("the local Redis of an earlier version has ended: start this process again")
        if _free_port(self._address.port) is None:
            os.close(lock)
            raise LocalRedisError(f"port {self._address.port} of the local Redis is taken by another program")
        self._process = await _launch(self._folder, self._address, lock)


async def _launch(folder: Path, address: Address, lock: int) -> Process:
    """Start the server, which takes the lock over, and wait until it answers. Raises LocalRedisError."""
    try:
        assert address.password
        write_config(folder, address.password)
        write_private(folder / "redis.log", "")
        with (folder / "redis.log").open("wb") as log_file:
            process = await create_subprocess_exec(
                *start_command(folder, address.port),
                cwd=folder,
                stdin=DEVNULL,
                stdout=log_file,
                stderr=STDOUT,
                pass_fds=[lock],
                # Ctrl-C goes to the whole foreground group; the server must live until the worker has stopped.
                start_new_session=True,
            )
    finally:
        os.close(lock)  # the server holds it now
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _answers(address, folder):
                if process.returncode is not None:
                    raise LocalRedisError(
                        f"the Redis server in {folder} ended at once (status {process.returncode})\n{_log_tail(folder)}"
                    )
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        await asyncio.shield(_end(process))
        raise _no_answer(folder) from None
    except BaseException:
        await asyncio.shield(_end(process))
        raise
    return process


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        log.warning("local redis had to be killed", pid=process.pid)
        process.kill()
        await process.wait()


async def _running(folder: Path) -> Address | None:
    """The server that answers, if one does."""
    port = _remembered(folder).get("port")
    # Without a server, another program may listen at its port, which must not get the password.
    if port is None or not _is_locked(folder):
        return None
    for password in dict.fromkeys((_known_password(folder), None)):
        if await _answers(address := Address(port, password), folder):
            return address
    return None


def _no_answer(folder: Path) -> LocalRedisError:
    return LocalRedisError(
        f"the Redis server in {folder} did not answer within {START_TIMEOUT_S:g} s\n{_log_tail(folder)}"
    )


def _prepared(folder: Path) -> Path:
    claim(folder.parent)  # WEARON_HOME
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder.resolve()


def _own(folder: Path) -> str:
    """The folder's password, made at the first start. The caller must hold the lock."""
    if (password := _known_password(folder)) is None:
        password = secrets.token_urlsafe(24)
        write_private(folder / "password", password)
    return password


def _known_password(folder: Path) -> str | None:
    try:
        return (folder / "password").read_text().strip() or None
    except OSError:
        return None


def _try_lock(folder: Path) -> int | None:
    """The open lock file; None when another process has locked it."""
    lock = os.open(folder / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _is_locked(folder: Path) -> bool:
    """Whether a server lives, or is being started."""
    if not (folder / "redis.lock").exists():
        return False
    if (lock := _try_lock(folder)) is None:
        return True
    os.close(lock)
    return False


def _remembered(folder: Path) -> dict[str, int]:
    """`wanted` and `port` of the last start."""
    try:
        state = json.loads((folder / "redis.json").read_text())
        return {"wanted": int(state["wanted"]), "port": int(state["port"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _choose_port(folder: Path, wanted: int) -> int:
    """The port of last time, else the wanted one, else a free one; remembered for next time."""
    last = _remembered(folder)
    wishes = [last["port"], wanted] if last.get("wanted") == wanted else [wanted]
    port = next(free for wish in [*wishes, 0] if (free := _free_port(wish)))
    if wanted not in (0, port):
        log.info("local redis uses another port", wanted=wanted, port=port)
    write_private(folder / "redis.json", json.dumps({"wanted": wanted, "port": port}))
    return port


def _free_port(wish: int) -> int | None:
    """The wished port (0: any) when it is free."""
    with socket.socket() as probe:
        # As the server does: connections of the last run that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wish))
        except OSError:
            return None
        return int(probe.getsockname()[1])


async def _answers(address: Address, folder: Path) -> bool:
    """Whether the server that answers there has its data in the folder: it might be another one."""
    client = Redis(
        host=HOST,
        port=address.port,
        password=address.password,
        socket_timeout=PROBE_TIMEOUT_S,
        socket_connect_timeout=PROBE_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # who asks does so again; redis-py 8 would for seconds
    )
    try:
        await client.ping()  # refused while the data is read back, unlike CONFIG
        found = (await client.config_get("dir"))["dir"]
        return found is not None and _same_folder(found, folder)
    except (RedisError, OSError, KeyError):
        return False
    finally:
        await client.aclose()


def _same_folder(one: str, other: Path) -> bool:
    return Path(one).samefile(other)


def _log_tail(folder: Path) -> str:
    try:
        lines = (folder / "redis.log").read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-LOG_LINES:])
