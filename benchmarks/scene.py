"""The stage of a benchmark: an embedded Redis, the stand-ins, and real `wearon serve` processes between them."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks import machine
from benchmarks.scale import Scale
from wearon.local.redis_server import LocalRedis
from wearon.redis.clients import connect

ROOT = Path(__file__).parent.parent
PATIENCE_S = 240.0
"""For anything to happen at all; a benchmark that waits longer has failed."""

USAGE = {"total_tokens": 2416, "input_tokens": 832, "output_tokens": 1584}
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")


@dataclass
class Worker:
    """A process of ours under measurement, started and writing its log into a file."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float
    """time.monotonic() just before it was started."""

    @property
    def pid(self) -> int:
        """Of the process that has the others below it."""
        return self.process.pid

    @property
    def cpu_s(self) -> float:
        """CPU time of the whole tree so far."""
        return machine.cpu_seconds(self.pid)

    @property
    def url(self) -> str:
        """Its API."""
        return str(self.line("started")["url"])

    def line(self, event: str) -> dict[str, Any]:
        """The log line with that event, waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if f'"{event}"' in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise RuntimeError(f"no {event!r} in the log:\n{self.log.read_text()[-4000:]}")

    def wait_until_healthy(self) -> float:
        """Seconds from the start of the process to `/health` saying ok."""
        url = self.url
        while time.monotonic() - self.began < PATIENCE_S:
            with urlopen(f"{url}/health") as answer:
                if json.load(answer)["status"] == "ok":
                    return time.monotonic() - self.began
            time.sleep(0.01)
        raise RuntimeError(f"never healthy:\n{self.log.read_text()[-4000:]}")

    def wait_until_up(self, scale: Scale) -> None:
        """With all parts that the scale asks for (`Scale.parts`)."""
        if "--no-api" in scale.parts:
            self.line("started")
        else:
            self.wait_until_healthy()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Scene:
    """Redis, stand-ins and workers. Everything that was started here ends with `open_scene`'s block."""

    def __init__(self, folder: Path, redis_url: str, redis: Redis, stand_in: "StandIn") -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.redis = redis
        self.stand_in = stand_in
        self.workers: list[Worker] = []

    @property
    def env(self) -> dict[str, str]:
        """Production settings that lead to the stand-ins, the rate limit lifted."""
        return {
            "WEARON_MODE": "production",
            "WEARON_HOME": str(self.folder / "home"),
            "REDIS_URL": self.redis_url,
            "SUPABASE_URL": self.stand_in.url,
            "SUPABASE_SERVICE_ROLE_KEY": "service-role-key",
            "OPENAI_API_KEY": "sk-benchmark",
            "OPENAI_BASE_URL": f"{self.stand_in.url}/v1",
            "OPENAI_REQUESTS_PER_MINUTE": "100000",
            "PORT": "0",
            "LOG_FORMAT": "json",
        }

    def serve(self, *arguments: str, command: Sequence[str] = ("-m", "wearon", "serve"), **env: str) -> Worker:
        """Start `wearon serve`."""
        return self.start([sys.executable, *command, *arguments], env)

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> Worker:
        """Start any process with the scene's settings."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        log = self.folder / f"log-{len(self.workers)}"
        began = time.monotonic()
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                env={**inherited, **self.env, **env, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        worker = Worker(process, log, began)
        self.workers.append(worker)
        return worker

    def task(
        self, pictures: Sequence[str], garment_copy: str | None = None, user_id: str | None = None
    ) -> tuple[str, bytes]:
        """A new session's id and its document.

        Its pictures have bytes of their own, so that nothing is found prepared which another job has left; but those
        who name the same `garment_copy` share the garment.
        """
        session_id = str(uuid4())
        copies = [session_id, *(garment_copy or session_id for _ in pictures[1:])]
        document = {
            "task_id": str(uuid4()),
            "channel": "b2c",
            "user_id": user_id or str(uuid4()),
            "session_id": session_id,
            "image_urls": [self.stand_in.picture_url(name, copy) for name, copy in zip(pictures, copies, strict=True)],
            "prompt": "",
            "request_id": f"req_{session_id}",
            "version": 1,
            "created_at": datetime.now(UTC).isoformat(),
        }
        return session_id, json.dumps(document).encode()

    async def push(self, count: int, pictures: Sequence[str], garment_copies: Sequence[str] = ()) -> list[str]:
        """LPUSH so many tasks at once, which share these copies of the garment in turn; their session ids."""
        tasks = [self.task(pictures, copy) for copy in islice(cycle(garment_copies or (None,)), count)]
        for start in range(0, count, 1000):
            await self.redis.lpush("wearon:tasks:generation", *(task for _, task in tasks[start : start + 1000]))
        return [session_id for session_id, _ in tasks]

    async def wait_for(
        self, sessions: Sequence[str], status: str = "completed", count: int | None = None
    ) -> list[float]:
        """When so many (default: all) of the sessions reached the status, sorted."""
        enough = len(sessions) if count is None else count
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            moves = await asyncio.to_thread(self.stand_in.moves)
            times = sorted(moves[s][status] for s in sessions if status in moves.get(s, {}))
            if len(times) >= enough:
                return times
            await asyncio.sleep(0.02 if len(sessions) < 10 else 0.25)
        raise RuntimeError(f"{enough} sessions were to be {status}; worker's log:\n{self._log_tail()}")

    async def settle(self) -> None:
        """Give what is under way a moment."""
        await asyncio.sleep(0.05)

    def _log_tail(self) -> str:
        return self.workers[-1].log.read_text()[-4000:] if self.workers else ""


class StandIn:
    """The process of `benchmarks.stand_in`."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stand_in", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def cpu_s(self) -> float:
        """CPU time so far: what the benchmark itself takes from the worker."""
        return machine.cpu_seconds(self._process.pid)

    def picture_url(self, name: str, copy: str = "0") -> str:
        """A picture of the folder as Supabase would sign it; every copy has bytes of its own."""
        return f"{self.url}/storage/v1/object/sign/virtual-tryon-images/{copy}/{name}?token=t"

    def reset(self, latency_s: float = 0.0) -> None:
        """Forget all moves; the image model takes that long from now on."""
        urlopen(Request(f"{self.url}/control/reset?latency={latency_s}", method="POST")).close()

    def moves(self) -> dict[str, dict[str, float]]:
        """Session -> status -> when (time.monotonic())."""
        with urlopen(f"{self.url}/control/moves") as answer:
            found: dict[str, dict[str, float]] = json.load(answer)
        return found

    def stop(self) -> None:
        """Its stdin ends, and it with it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@asynccontextmanager
async def open_scene(pictures: Mapping[str, bytes], answer: bytes) -> AsyncIterator[Scene]:
    """Start Redis and the stand-ins, with those pictures to fetch and that one as the image model's answer."""
    with tempfile.TemporaryDirectory(prefix="wearon-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = folder / "files"
        files.mkdir()
        for picture, content in pictures.items():
            (files / picture).write_bytes(content)
        made = {"created": 1, "data": [{"b64_json": b64encode(answer).decode()}], "usage": USAGE}
        (files / "answer.json").write_text(json.dumps(made))
        local = await LocalRedis.start(folder / "redis", 0)
        redis = connect(local.url, name="benchmark")
        stand_in = StandIn(files)
        scene = Scene(folder, local.url, redis, stand_in)
        try:
            yield scene
        finally:
            for worker in scene.workers:
                worker.stop()
            stand_in.stop()
            await redis.aclose()
            await local.stop()
