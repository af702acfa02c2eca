"""`wearon serve` whose event loop stands still for STALL_S at every SIGUSR1, as under something that hogs it.

python -m support.stalling_serve [arguments of `wearon serve`]
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

STALL_S = 18.0
"""Half as long again as a lease."""


def main() -> None:
    """Run the command line with one more signal handler."""
    from wearon.app import serve
    from wearon.cli.app import run

    original: Callable[[], None] = vars(serve)["settle_memory"]

    def settle_and_listen() -> None:
        original()
        # In the loop, as a handler of anything else would.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stall)

    vars(serve)["settle_memory"] = settle_and_listen
    sys.argv = ["wearon", "serve", *sys.argv[1:]]
    run()


def stall() -> None:
    """Hold the loop."""
    os.write(2, b"the loop stands still\n")
    time.sleep(STALL_S)


if __name__ == "__main__":
    main()
