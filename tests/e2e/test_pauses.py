"""Pauses over real processes: one pauses all, and the fleet pauses itself for an operator's mistake.

KEY_REFUSED_S=60 KEY_REFUSED_TASKS=40 uv run pytest tests/e2e/test_pauses.py -s     # the long run
"""

import json
import os
import time
from typing import Any

import httpx
import pytest

from support.gateway import JSON, Do, Fault, Response
from support.machines import API_TOKEN, Machines
from support.openai_stub import INVALID_KEY, OpenAIStub, Picture
from support.outages import all_completed_and_paid_once, completed, health, push_orders, wait_for_requests
from support.processes import run_wearon, wait_until
from support.shop import Shop

pytestmark = pytest.mark.slow

NO_BUCKET = Response(400, b'{"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}', JSON)

REFUSED_S = float(os.environ.get("KEY_REFUSED_S", "5"))
TASKS = int(os.environ.get("KEY_REFUSED_TASKS", "20"))


def wearon(env: dict[str, str], *arguments: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(run_wearon(*arguments, "--json", env=env).stdout)


def wait_for_pauses(url: str, *reasons: str) -> None:
    """Until the process shows just these."""

    def look() -> bool | None:
        return [pause["reason"] for pause in health(url)["pauses"]] == list(reasons) or None

    wait_until(look, lambda: f"{health(url)}")


def test_one_operator_pauses_all_processes_and_resumes_them(
    shop: Shop, machines: Machines, openai: OpenAIStub, production_env: dict[str, str]
) -> None:
    urls = [machines.serve(API_TOKEN=API_TOKEN).wait_for("started")["url"] for _ in range(2)]
    openai.latency_s = 2.0
    orders = push_orders(shop, 2)
    wait_for_requests(openai, 2)

    assert wearon(production_env, "pause", "--reason", "moving")["store"] is None
    orders += push_orders(shop, 6)
    for url in urls:
        wait_for_pauses(url, "moving")
        assert "paused" in health(url)["incidents"]
    wait_until(lambda: completed(shop) == 2 or None, lambda: "what ran does not end")
    wait_until(lambda: shop.redis.llen("wearon:tasks:generation") == 0 or None, lambda: "no job is made of the tasks")
    time.sleep(1.0)  # a worker is woken for each of them
    assert len(openai.requests) == 2
    resume = f"{urls[1]}/console/api/resume"
    assert httpx.post(resume, json={}).status_code in {401, 403}
    assert httpx.post(resume, json={}, headers={"Authorization": f"Bearer {API_TOKEN}"}).json() == {"resumed": True}
    assert wearon(production_env, "resume") == {"store": None, "resumed": False}
    all_completed_and_paid_once(shop, openai, orders)


def test_a_refused_key_pauses_the_fleet_fails_nobody_and_one_success_ends_it(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.always(INVALID_KEY)
    urls = [machines.serve(WORKER_CONCURRENCY="4").wait_for("started")["url"] for _ in range(2)]
    orders = push_orders(shop, TASKS)
    began = time.monotonic()
    wait_until(lambda: "paused_by_itself" in health(urls[0])["incidents"] or None, lambda: f"{health(urls[0])}")
    print(f"paused after {time.monotonic() - began:.1f} s and {len(openai.requests)} requests")
    time.sleep(max(0.0, REFUSED_S - (time.monotonic() - began)))
    refused = len(openai.requests)
    openai.always(Picture())
    mended = time.monotonic()
    wait_until(lambda: completed(shop) or None, lambda: "no probe has succeeded", limit_s=60.0)
    print(f"{refused} requests were refused; going on {time.monotonic() - mended:.1f} s after the mending")
    all_completed_and_paid_once(shop, openai, orders)
    print(f"all done {time.monotonic() - mended:.1f} s after the mending")
    # Each slot asks once, and a few are refused again before every process knows; then one job in 30 s.
    assert refused <= 2 * 2 * 4 + REFUSED_S / 30 + 1
    for url in urls:
        wait_for_pauses(url)


def test_a_missing_bucket_pauses_the_fleet_fails_nobody_and_one_success_ends_it(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    slots = 4
    missing = shop.supabase.gateway.add(Fault("GET /storage/v1/bucket/", Do.ANSWER, NO_BUCKET, times=None))
    url = machines.serve(WORKER_CONCURRENCY=f"{slots}").wait_for("started")["url"]
    orders = push_orders(shop, 12)
    wait_until(lambda: "paused_by_itself" in health(url)["incidents"] or None, lambda: f"{health(url)}")
    (pause,) = health(url)["pauses"]
    assert pause["cause"] == "bucket"
    # Each slot has looked twice at most: no job repeats it for a minute before it says so.
    assert shop.supabase.gateway.count("GET /storage/v1/bucket/") <= 2 * slots
    assert not openai.requests, "nothing is paid that cannot be stored"
    shop.supabase.gateway.forget(missing)
    wait_until(lambda: completed(shop) or None, lambda: "no probe has succeeded", limit_s=60.0)
    all_completed_and_paid_once(shop, openai, orders)
    wait_for_pauses(url)
