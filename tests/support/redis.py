"""A real Redis for tests, empty for every test. `tests/conftest.py` makes the fixtures known to every test.

Its clients come as a user who may only what `wearon.queue.redis_rights` says, and what tests look with. Which server it
is says TEST_REDIS: `embedded` (as a rule: the server of local mode), `path` (the redis-server on the PATH: in CI
Debian's), or `tls` (that one, over TLS).
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis as sync_redis
import trustme
from redis.asyncio import Redis

from wearon.local.redis_server import server_binary
from wearon.queue.redis_rights import acl_rule
from wearon.redis import longest_value
from wearon.redis.clients import connect

DEADLINE_S = 20.0

KIND = os.environ.get("TEST_REDIS", "embedded")

LOOKING = (
    "+client|list +client|kill +config +dbsize +flushall +incrby +info +keys +lmove +pttl +scan +select +ttl +zincrby"
    " +zpopmax"
)
"""What tests use beside what we need; the worker sends none of these but INFO and CONFIG GET."""

RULE = f"{acl_rule()} {LOOKING} ~*"


def _binary() -> str:
    if KIND == "embedded":
        return server_binary()
    found = shutil.which("redis-server")
    assert found, "no redis-server on the PATH: see scripts/test-services.sh"
    return found


USER = "limited:secret"


class _Tls:
    """A second port of a server, for a client that checks its certificate."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        authority = trustme.CA()
        files = {name: folder / f"{name}.pem" for name in ("ca-cert", "cert", "key")}
        certificate = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(files["ca-cert"])
        certificate.cert_chain_pems[0].write_to_path(files["cert"])
        certificate.private_key_pem.write_to_path(files["key"])
        named = [part for name, file in files.items() for part in (f"--tls-{name}-file", str(file))]
        self.options = ["--tls-port", str(port), "--tls-auth-clients", "no", *named]
        self.url = f"rediss://{USER}@localhost:{port}/0?ssl_ca_certs={files['ca-cert']}"


class RedisServer:
    """A server process on a loopback port of its own that can be stopped, killed and started again on its data."""

    def __init__(self, folder: Path, binary: str | None = None, *options: str) -> None:
        """`binary`: another server than the embedded one; `options` are added to its command line."""
        self._folder = folder
        self._command = [binary or _binary()]
        self._options = options
        self.port = free_port()
        self.url = f"redis://{USER}@127.0.0.1:{self.port}/0"
        self.admin_url = f"redis://127.0.0.1:{self.port}/0"
        self._tls = _Tls(folder) if KIND == "tls" else None
        if self._tls is not None:
            self.url = self._tls.url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or again; returns when it answers."""
        assert self._process is None, "already running"
        command = [*self._command, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        # After a kill a test may expect all that was acknowledged: it is written by then, and the system keeps it.
        options = ["--save", "", "--appendonly", "yes", "--appendfsync", "no"]
        options += [part for name, value in longest_value.SETTINGS.items() for part in (f"--{name}", str(value))]
        with (self._folder / "redis.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [*command, *options, *self._options, *(self._tls.options if self._tls else ())],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
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
                    break
            client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", *RULE.split())

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
def synced_redis(redis_server: RedisServer) -> Iterator[None]:
    """The server syncs its file each second, as operators set it and the doctor asks for."""
    with sync_redis.Redis(port=redis_server.port) as admin:
        admin.config_set("appendfsync", "everysec")
        yield
        admin.config_set("appendfsync", "no")


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
