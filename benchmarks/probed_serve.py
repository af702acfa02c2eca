"""`wearon serve` with a probe on its event loop: how late is a timer, and (BLOCKERS=1) who held the loop up.

    PROBE_FILE=lag.json python -m benchmarks.probed_serve [the arguments of `wearon serve`]

The file is written when the process stops: {"lags": [[time.monotonic(), seconds late], ...], "blockers": ...}.
Looking for blockers needs asyncio's own loop instead of uvloop and costs CPU: not for measuring anything else. Only a
callback's own CPU time counts: a loop that was not given a core is no fault of the callback.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK_S = 0.005
LONG_S = 0.005


def main() -> None:
    """Put the probe in place, then be `wearon serve`."""
    import uvloop

    import wearon.app.serve
    from wearon.cli.app import run

    blockers: dict[str, list[float]] = {}
    if os.environ.get("BLOCKERS"):
        uvloop.new_event_loop = asyncio.new_event_loop  # type: ignore[assignment]
        _time_callbacks(blockers)
    plain = wearon.app.serve.serve

    async def probed(*args: Any) -> None:
        lags: list[tuple[float, float]] = []
        ticking = asyncio.create_task(_tick(lags))
        try:
            await plain(*args)
        finally:
            ticking.cancel()
            _write(lags, blockers)

    wearon.app.serve.serve = probed  # type: ignore[assignment]
    sys.argv[1:1] = ["serve"]
    run()


def _write(lags: list[tuple[float, float]], blockers: dict[str, list[float]]) -> None:
    Path(os.environ["PROBE_FILE"]).write_text(json.dumps({"lags": lags, "blockers": blockers}))


async def _tick(lags: list[tuple[float, float]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append((time.monotonic(), max(0.0, loop.time() - due)))


def _time_callbacks(blockers: dict[str, list[float]]) -> None:
    handle_class: Any = asyncio.Handle
    run_callback: Callable[[asyncio.Handle], None] = handle_class._run  # noqa: SLF001 # there is no other place

    def timed(handle: asyncio.Handle) -> None:
        where = _where(handle)
        began = time.thread_time()
        run_callback(handle)
        seconds = time.thread_time() - began
        if seconds > LONG_S:
            blockers.setdefault(f"{where} ... {_where(handle)}", []).append(round(seconds * 1000, 1))

    handle_class._run = timed  # noqa: SLF001


def _where(handle: asyncio.Handle) -> str:
    """The innermost line of ours that the task stands at, or the callback's name."""
    callback: Any = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return str(getattr(callback, "__qualname__", callback))
    place: str = task.get_name()
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_frame"):
        frame = coroutine.cr_frame
        if frame is not None and "/wearon/" in frame.f_code.co_filename:
            place = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return place


if __name__ == "__main__":
    main()
