"""What a scrape shows of a real Redis, and what it costs there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from support.api_services import api_services, status_reader
from support.exposition import Scrape
from support.redis import RedisServer
from wearon.api.app import create_app
from wearon.local.platform import LocalPlatform
from wearon.operations import status as module
from wearon.queue import keys
from wearon.redis.clients import connect

pytestmark = pytest.mark.slow


async def scraped(redis: Redis, tmp_path: Path, times: int = 1) -> Scrape:
    """The last of so many scrapes."""
    platform = await LocalPlatform.open(tmp_path, "http://127.0.0.1")
    app = create_app(api_services(local_platform=platform, status=status_reader(redis)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client:
        for _ in range(times):
            response = await client.get("/metrics")
    await platform.aclose()
    return Scrape(response.text)


async def test_the_fleets_numbers_are_those_of_redis(redis_client: Redis, tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(seconds=100)
    await redis_client.lpush(keys.TASKS, json.dumps({"created_at": long_ago.isoformat()}), "{}")
    await redis_client.lpush(keys.DEAD_LETTERS, "a", "b", "c")
    intent = {"completed_at": (datetime.now(UTC) - timedelta(seconds=45)).isoformat(timespec="microseconds")}
    await redis_client.hset(keys.REFUNDS, "b2c:1", json.dumps(intent))
    found = await scraped(redis_client, tmp_path)
    assert found.value("wearon_redis_up") == 1
    assert found.value("wearon_queue_depth", queue="tasks") == 2
    assert found.value("wearon_queue_depth", queue="dead_letters") == 3
    assert 100 <= found.value("wearon_task_oldest_age_seconds") < 160
    assert 45 <= found.value("wearon_refund_oldest_age_seconds") < 105
    assert found.value("wearon_fleet_slots") == 0


async def test_without_redis_a_scrape_says_so_and_still_has_this_processs_own(tmp_path: Path) -> None:
    away = connect("redis://127.0.0.1:1/0", name="nobody-there")
    found = await scraped(away, tmp_path)
    assert found.value("wearon_redis_up") == 0
    assert "wearon_queue_depth" not in found.names
    assert found.value("wearon_build_info") == 1
    await away.aclose()


async def test_a_scrape_costs_one_command_and_scrapes_close_together_share_it(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBER_S", 3600.0)
    sent: list[str] = []
    redis = connect(redis_server.url, name="counted", on_command=sent.append)
    await scraped(redis, tmp_path)  # connects, and loads the script
    sent.clear()
    await scraped(redis, tmp_path, times=10)
    assert sent == ["EVALSHA"]
    await redis.aclose()
