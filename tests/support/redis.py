"""A real Redis for tests: the server binary of the local mode, empty for every test.

`tests/conftest.py` makes the fixtures known to every test.
"""

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from wearon.local_redis import server_binary
from wearon.redis import connect

DEADLINE_S = 20.0


class RedisServer:
    """A server process on a loopback port of its own that can be stopped, killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or again; returns when it answers."""
        assert self._process is None, "already running"
        command = [server_binary(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        # `always`: after a kill a test may expect everything that was acknowledged.
        options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        with (self._folder / "redis.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + DEADLINE_S
        with sync_redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except sync_redis.ConnectionError:
                    assert self._process.poll() is None, (self._folder / "redis.log").read_text()
                    assert time.monotonic() < deadline, "redis-server does not answer"
                    time.sleep(0.01)
                else:
                    return

    def stop(self) -> None:
        """End it in order; what it holds stays on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(DEADLINE_S)
            self._process = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def flush(self) -> None:
        """Forget everything, and be running."""
        if self._process is None:
            self.start()
        with sync_redis.Redis(port=self.port) as client:
            client.flushall()


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The one server of the whole run."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """The server, running and empty. A test may stop and start it."""
    session_redis.flush()
    return session_redis


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    return redis_server.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the worker's own making on an empty Redis."""
    client = connect(redis_url, name="test")
    yield client
    await client.aclose()
