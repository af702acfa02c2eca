"""Processes of ours that begin with everything imported: forks of one that has done so and waits.

`wearon serve` imports for a second of a processor, and the tests start some three hundred processes. These are real
ones, with their own pid, environment and files, and end as any other does. What differs is only what went before
`main`: that is tried by the tests of the wheel, of the command line, of arq's `--check` and of what the pages show.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = ("wearon.app.serve", "wearon.doctor", "wearon.operations.audit", "arq.cli", "rich.live", "typer.rich_utils")
"""Nothing of `wearon.cli`, which looks at the terminal when it is imported."""

READ_WHEN_IMPORTED = ("SSL_CERT_FILE", "TZ", "PYTHONPATH")
"""Variables that a fork would read too late: who sets another value than the tests have starts by itself."""

MEASURES = "COVERAGE_PROCESS_START"


def is_possible(env: Mapping[str, str]) -> bool:
    """Whether a fork would be what a new interpreter is."""
    return MEASURES not in env and all(env.get(name) == os.environ.get(name) for name in READ_WHEN_IMPORTED)


class WarmProcess:
    """As subprocess.Popen, as far as tests need it, for `python -m wearon` and `arq`: `main` is `module:function`."""

    def __init__(
        self,
        main: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        files: tuple[int, int, int],
    ) -> None:
        """`files` are descriptors that become its standard input, output and error output."""
        self.returncode: int | None = None
        told, tell = os.pipe()
        order = {"main": main, "arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}
        try:
            orders = _template()
            socket.send_fds(orders, [json.dumps(order).encode()], [*files, tell])
        finally:
            os.close(tell)
        self._told = os.fdopen(told)
        self.pid = int(self._told.readline())
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, while it is there."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def _watch(self) -> None:
        with self._told:
            self.returncode = int(self._told.readline())
        self._ended.set()


@cache
def _template() -> socket.socket:
    """Where to send orders: to a process that ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen([sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# What follows runs in the template and its forks.


def _wait_for_an_order(orders: socket.socket) -> Callable[[], object]:
    """Returns in a fork, with what it is to run."""
    while True:
        order, files, _, _ = socket.recv_fds(orders, 1 << 20, 4)
        if not order:
            os._exit(0)
        if os.fork() == 0 and _is_to_run(files[3]):
            return _prepared(json.loads(order), files)
        for file in files:
            os.close(file)


def _is_to_run(tell: int) -> bool:
    """Fork once more: this process waits for the other, whose parent the test is not, and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    pid = os.fork()
    if pid == 0:
        return True
    os.write(tell, f"{pid}\n".encode())
    os.closerange(0, tell)
    os.closerange(tell + 1, 256)
    _, status = os.waitpid(pid, 0)
    os.write(tell, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _prepared(order: Mapping[str, Any], files: Sequence[int]) -> Callable[[], object]:
    os.setsid()
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, 256)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    module, _, function = order["main"].partition(":")
    sys.argv = [module, *order["arguments"]]
    sys.path.insert(0, order["cwd"])  # as `python -m` does
    main: Callable[[], object] = getattr(import_module(module), function)
    return main


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    assert threading.active_count() == 1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(_wait_for_an_order(socket.socket(fileno=int(sys.argv[1])))())  # type: ignore[arg-type]
