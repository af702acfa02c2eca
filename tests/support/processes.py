"""Real worker processes for end-to-end tests: started, watched through their log, ended by pid."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from support.warm_start import WarmProcess, is_possible

T = TypeVar("T")

LIMIT_S = 60.0
"""For anything to happen that a test waits for; it fails then, it does not measure."""

SERVE = (sys.executable, "-m", "wearon", "serve")
ARQ = (str(Path(sys.executable).parent / "arq"), "wearon.worker.WorkerSettings")

MAINS = {SERVE[:3]: "wearon.__main__:main", ARQ[:1]: "arq.cli:cli"}
"""What a command that begins so runs; the rest are its arguments."""

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "COVERAGE_PROCESS_START", "SSL_CERT_FILE")
"""All that a worker gets from the test's environment: no setting may leak in."""


class WorkerProcess:
    """A started process and the lines that it has logged (JSON)."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        log, end_of_log = os.pipe()
        self._log = os.fdopen(log, "rb")
        with os.fdopen(end_of_log, "wb"), Path(os.devnull).open("r+b") as nothing:
            files = (nothing.fileno(), nothing.fileno(), end_of_log)
            self._process = _start(command, {"LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1", **env}, cwd, files)
        self.raw: list[str] = []
        self._lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far, line by line."""
        return list(self._lines)

    @property
    def log(self) -> str:
        """The same as text, for a failing test's message and for searching it for secrets."""
        return "\n".join(self.raw)

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """The first line with that event and those fields."""

        def find() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((line for line in self.lines if wanted.items() <= line.items()), None)

        return wait_until(find, lambda: f"no {event!r} {fields} in the log:\n{self.log}", self._is_running)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.kill()
        self._process.wait(LIMIT_S)

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def pool_processes(self) -> list[int]:
        """Pids of the processes that it has spawned for CPU work."""
        return pool_processes_of(self.pid)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        status = self._process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return status

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Leave nothing running."""
        if self._process.poll() is None:
            self.kill()
        self._reader.join(LIMIT_S)
        self._log.close()

    def _read(self) -> None:
        for line in self._log:
            self.raw.append(line.decode(errors="replace").rstrip())
            if self.raw[-1].startswith("{") and self.raw[-1].endswith("}"):  # one that is killed may say half of a line
                self._lines.append(json.loads(self.raw[-1]))

    def _is_running(self) -> bool:
        return self._process.poll() is None


def run_wearon(
    *arguments: str, env: Mapping[str, str], cwd: Path = Path("/"), answer: str = ""
) -> "subprocess.CompletedProcess[str]":
    """What `wearon ...` prints when that answer is typed, and its exit status. It never shows a traceback.

    Without `cwd` it runs where no `.env` lies.
    """
    command = (*SERVE[:3], *arguments)
    with TemporaryFile() as typed, TemporaryFile() as out, TemporaryFile() as err:
        typed.write(answer.encode())
        typed.seek(0)
        status = _start(command, env, cwd, (typed.fileno(), out.fileno(), err.fileno())).wait(LIMIT_S * 2)
        printed, said = (_whole(file) for file in (out, err))
    assert "Traceback" not in said, said
    return subprocess.CompletedProcess(command, status, printed, said)


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _start(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, files: tuple[int, int, int]
) -> "subprocess.Popen[bytes] | WarmProcess":
    """With as little of our environment as possible, in a session of its own."""
    env = {**{name: os.environ[name] for name in INHERITED if name in os.environ}, **env}
    if is_possible(env):
        for beginning, main in MAINS.items():
            if tuple(command[: len(beginning)]) == beginning:
                return WarmProcess(main, command[len(beginning) :], env=env, cwd=cwd, files=files)
    stdin, stdout, stderr = files
    return subprocess.Popen(
        command, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )


def pool_processes_of(pid: int) -> list[int]:
    """Pids of the processes that process `pid` has started for CPU work."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"wearon.processes.child" in _command_line(child)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # gone by now
        return b""


@contextmanager
def worker(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Iterator[WorkerProcess]:
    """Run a process for the length of a block."""
    process = WorkerProcess(command, env, cwd)
    try:
        yield process
    finally:
        process.close()
        print(f"--- log of {' '.join(command)}\n{process.log}")  # pytest shows it when the test has failed


def wait_until(
    look: Callable[[], T | None],
    complaint: Callable[[], str],
    alive: Callable[[], bool] = lambda: True,
    limit_s: float = LIMIT_S,
) -> T:
    """Look again and again until there is something; AssertionError with `complaint` when there never is."""
    deadline = time.monotonic() + limit_s
    while True:
        was_alive = alive()
        found = look()
        if found is not None:
            return found
        assert was_alive, f"the process has ended: {complaint()}"
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)
