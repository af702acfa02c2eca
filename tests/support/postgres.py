"""A PostgreSQL of the tests' own, in a folder of its own; it can be made a standby, and primary again.

`scripts/test-services.sh` installs it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

START_SECONDS = 60.0

OPTIONS = {"listen_addresses": "", "fsync": "off", "max_connections": 40}


class Postgres:
    """A server and our own connection to it."""

    connection: psycopg.Connection[dict[str, Any]]

    def __init__(self, folder: Path) -> None:
        """`folder`: where its data and its socket are; empty."""
        programs = postgres_folder()
        assert programs is not None
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"
        self._stack = ExitStack()
        user = _unprivileged_user()
        account = pwd.getpwnam(user) if user else None
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._as_user: dict[str, Any] = (
            {"user": user, "group": account.pw_gid, "extra_groups": []} if account is not None else {}
        )
        words = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync")
        command: list[Any] = [programs / "initdb", "-D", self._data, *words]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **self._as_user)

    def start(self) -> None:
        """Until it accepts connections."""
        command: list[Any] = [
            self._programs / "postgres",
            "-D",
            self._data,
            "-c",
            f"unix_socket_directories={self._folder}",
        ]
        for name, value in OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        log = self._folder / "postgres.log"
        # SIGINT: it does not wait for its clients.
        self._stack.enter_context(running(command, log, signal.SIGINT, cwd=self._folder, **self._as_user))
        wait_until_ready(self._accepts, log)
        self.connection = psycopg.connect(self._address, autocommit=True, row_factory=dict_row)
        self._stack.callback(self.connection.close)

    def stop(self) -> None:
        """End every connection, and the server."""
        self._stack.close()

    def demote(self) -> None:
        """Start again as a standby: everybody may read, and nobody may write."""
        self.stop()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        if self._as_user:
            shutil.chown(signal_file, self._as_user["user"], self._as_user["group"])
        self.start()

    def promote(self) -> None:
        """Make the standby a primary again. Connections stay open."""
        assert self.connection.execute("select pg_promote()").fetchone() == {"pg_promote": True}

    @property
    def _address(self) -> str:
        return f"host={self._folder} dbname=postgres user=postgres"

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self._address).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running(command: list[Any], log: Path, end: signal.Signals, **options: Any) -> Iterator[None]:
    """The process of a service; it is sent `end` at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which end it in order
            **options,
        )
    try:
        yield
    finally:
        process.send_signal(end)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(ready: Callable[[], bool], log: Path) -> None:
    """Fails with the service's log when it is not ready in time."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"it did not start:\n{log.read_text()}"
        time.sleep(0.02)


def postgres_folder() -> Path | None:
    """Where initdb and postgres are: Debian keeps them off the path, one folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if versions:
        return versions[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root. None: we are not root, and may run it ourselves."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
