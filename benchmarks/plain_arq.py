"""The reference of the start latency: arq's own worker with its defaults, doing what a job of ours does first.

Run as `arq benchmarks.plain_arq.WorkerSettings`.
"""

import os
from typing import Any

import httpx
from arq.connections import RedisSettings

SUPABASE_URL = os.environ["SUPABASE_URL"]


async def start(ctx: dict[str, Any]) -> None:
    """One client for all jobs, as ours has."""
    ctx["client"] = httpx.AsyncClient()
    print('{"event": "started"}', flush=True)


async def begin(ctx: dict[str, Any], session_id: str) -> None:
    """Move the session to `processing`."""
    client: httpx.AsyncClient = ctx["client"]
    await client.patch(f"{SUPABASE_URL}/rest/v1/generation_sessions?id=eq.{session_id}", json={"status": "processing"})


class WorkerSettings:
    """Nothing but what is needed: the poll delay stays arq's own, 0.5 s."""

    functions = (begin,)
    on_startup = start
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
