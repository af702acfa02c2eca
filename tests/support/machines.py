"""What end-to-end tests stand on: a Supabase, an OpenAI stand-in, a Redis, and the shop that uses them."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import freezing_serve, serve_among_strangers, short_serve, stalling_serve
from support.openai_stub import OpenAIStub
from support.postgrest import Supabase
from support.processes import ARQ, SERVE, WorkerProcess, worker
from support.redis import RedisServer
from support.shop import Shop

SECRET_KEY = "sk-test-this-must-never-be-logged"
API_TOKEN = "token-this-must-never-be-logged"


@pytest.fixture
def openai() -> Iterator[OpenAIStub]:
    """The image model's stand-in."""
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
def shop(supabase: Supabase, redis_server: RedisServer) -> Shop:
    """The shop, with two pictures in its bucket."""
    return Shop(supabase, redis_server.admin_url)


class Machines:
    """Starts worker processes with production settings."""

    def __init__(self, stack: ExitStack, env: Mapping[str, str], folder: Path) -> None:
        self._stack = stack
        self._env = env
        self._folder = folder

    def serve(self, *arguments: str, **env: str) -> WorkerProcess:
        """`wearon serve`, started."""
        process = self._start((*SERVE, *arguments), env)
        process.wait_for("started")
        return process

    def stalling_serve(self, *arguments: str) -> WorkerProcess:
        """`wearon serve` whose event loop stands still at every SIGUSR1 (`support.stalling_serve`), started."""
        process = self._start((sys.executable, "-P", stalling_serve.__file__, *arguments), {})
        process.wait_for("started")
        return process

    def freezing_serve(self, *arguments: str) -> WorkerProcess:
        """`wearon serve` that stops itself right before its first b2c refund (`support.freezing_serve`), started."""
        process = self._start((sys.executable, "-P", freezing_serve.__file__, *arguments), {})
        process.wait_for("started")
        return process

    def short_serve(self, *arguments: str, **env: str) -> WorkerProcess:
        """`wearon serve` whose jobs are short and make no picture (`support.short_serve`), started."""
        process = self._start((sys.executable, "-P", short_serve.__file__, *arguments), env)
        process.wait_for("started")
        return process

    def serve_among_strangers(self, port: int, *arguments: str, **env: str) -> WorkerProcess:
        """`wearon serve` for which the internet is the server at `port` (`support.serve_among_strangers`), started."""
        process = self._start((sys.executable, "-P", serve_among_strangers.__file__, str(port), *arguments), env)
        process.wait_for("started")
        return process

    def arq(self, **env: str) -> WorkerProcess:
        """`arq wearon.worker.WorkerSettings`, started."""
        process = self._start(ARQ, env)
        process.wait_for("started")
        return process

    def _start(self, command: tuple[str, ...], env: Mapping[str, str]) -> WorkerProcess:
        return self._stack.enter_context(worker(command, {**self._env, **env}, self._folder))


@pytest.fixture
def production_env(supabase: Supabase, redis_url: str, openai: OpenAIStub, tmp_path: Path) -> dict[str, str]:
    """Settings of a production worker that meets the stand-ins."""
    return {
        "WEARON_MODE": "production",
        "WEARON_HOME": str(tmp_path / "home"),
        "REDIS_URL": redis_url,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_SERVICE_ROLE_KEY": supabase.service_role_key,
        "OPENAI_API_KEY": SECRET_KEY,
        "OPENAI_BASE_URL": openai.url,
        "OPENAI_REQUESTS_PER_MINUTE": "6000",
        "PORT": "0",
        "POSE_PROCESSES": "1",
        "PICTURE_PROCESSES": "1",
    }


@pytest.fixture
def machines(production_env: dict[str, str], tmp_path: Path) -> Iterator[Machines]:
    """Worker processes; what a test leaves running is ended."""
    with ExitStack() as stack:
        yield Machines(stack, production_env, tmp_path)
