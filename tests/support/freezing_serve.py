"""`wearon serve` that stops itself (SIGSTOP) right before it asks for a b2c refund, the first time.

python -m support.freezing_serve [arguments of `wearon serve`]
"""

import asyncio
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Run the command line with an adapter of Supabase that stands still at one exact instant."""
    from wearon.cli.app import run
    from wearon.platform.supabase import SupabasePlatform

    call = SupabasePlatform.fail_and_refund
    calls = 0

    async def stand_still_and_call(platform: SupabasePlatform, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
            # The worst case: it goes on with the call before it sees that its lease is gone.
            return await asyncio.shield(asyncio.ensure_future(call(platform, *arguments)))
        return await call(platform, *arguments)

    setattr(SupabasePlatform, "fail_and_refund", stand_still_and_call)  # noqa: B010 (mypy refuses the assignment)
    sys.argv = ["wearon", "serve", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
