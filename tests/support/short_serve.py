"""`wearon serve` whose jobs last a twentieth of a second and make no picture: ten minutes of a fleet pass in seconds.

python -m support.short_serve [arguments of `wearon serve`]
"""

import asyncio
import random
import sys
from typing import Any

STARTED = "short job"
"""Its line in the log, with the tenant."""

JOB_S = 0.05


def main() -> None:
    """Run the command line with another thing to do for a job; everything up to there is the worker's own."""
    import structlog

    from wearon.cli.app import run
    from wearon.platform.base import Channel
    from wearon.queue.tenants import tenant_of
    from wearon.tryon.pipeline import Pipeline

    log = structlog.get_logger()

    async def generate(_pipeline: Pipeline, payload: dict[str, Any], _attempt: object) -> None:
        owner = payload.get("store_id") or payload["user_id"]
        log.info(STARTED, tenant=tenant_of(Channel(payload["channel"]), owner))
        await asyncio.sleep(JOB_S * random.uniform(0.5, 1.5))

    setattr(Pipeline, "generate", generate)  # noqa: B010 (mypy refuses the assignment)
    sys.argv = ["wearon", "serve", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
