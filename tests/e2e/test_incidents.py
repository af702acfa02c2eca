"""Incidents in a real browser, of a real worker: each is made to happen, read, acted upon, and seen to end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import redis as sync_redis
from playwright.sync_api import Page, expect

from support.browser import LIMIT_MS, Tab, running_chromium
from support.gateway import JSON, Do, Fault, Response
from support.machines import API_TOKEN, Machines
from support.openai_stub import INSUFFICIENT_QUOTA, INVALID_KEY, OpenAIStub, Picture
from support.outages import all_completed_and_paid_once, health, push_orders
from support.processes import run_wearon, wait_until
from support.redis import RedisServer, free_port
from support.shop import Shop
from wearon.queue import keys

pytestmark = pytest.mark.slow

expect.set_options(timeout=LIMIT_MS)

AWAY = Response(503, b'{"message": "upstream is gone"}', JSON)
HANGING = {"step": "generate", "step_s": 400, "age_s": 401, "attempt": 1, "request_id": "", "channel": "b2c"}
"""A job of another machine's worker, as that reports it."""


@pytest.fixture
def page() -> Iterator[Page]:
    with running_chromium() as browser:
        tab = Tab(browser)
        yield tab.page
        tab.close()


@contextmanager
def incident(page: Page, code: str, title: str, *, recovers: bool = True) -> Iterator[Any]:
    """Its card appears within the block, and has gone soon after it."""
    card = page.locator(f"[data-incident={code}]")
    yield card
    expect(card).to_have_count(0)
    if recovers:
        expect(page.locator(f"[data-recovered={code}]")).to_contain_text(title)


def degraded_status(env: Mapping[str, str]) -> dict[str, Any]:
    """What `wearon status` says, a process of its own that hears of it with a worker's next heartbeat."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(run_wearon("status", "--json", env=env).stdout)
        return found if found["status"] == "degraded" else None

    return wait_until(look, lambda: "wearon status stays ok")


def test_each_incident_is_read_acted_upon_and_seen_to_end(
    shop: Shop,
    machines: Machines,
    openai: OpenAIStub,
    page: Page,
    redis_server: RedisServer,
    production_env: dict[str, str],
) -> None:
    process = machines.serve(API_TOKEN=API_TOKEN)
    url = str(process.wait_for("started")["url"])
    process.wait_for("pose processes are warm")
    page.goto(f"{url}/console")
    page.get_by_label("API token").fill(API_TOKEN)
    page.get_by_role("button", name="Log in").click()
    admin = sync_redis.Redis(port=redis_server.port)

    with incident(page, "dead_letters", "dead letters", recovers=False) as card:
        admin.lpush(keys.DEAD_LETTERS, *(json.dumps({"id": f"{n}", "at": "", "reason": "x"}) for n in range(300)))
        expect(card).to_contain_text("300 dead letters")
        # Cards are announced; the age that counts on in them is not.
        expect(card.locator("time")).to_have_attribute("aria-live", "off")
        assert health(url)["status"] == "ok", "a warning does not degrade"
        card.get_by_role("link", name="Show dead letters").click()
        expect(page.get_by_role("heading", name="Dead letters & refunds")).to_be_visible()
        page.get_by_role("link", name="Now").click()
        admin.delete(keys.DEAD_LETTERS)
    with incident(page, "job_hangs", "1 job hanging", recovers=False) as card:
        seconds, _ = admin.time()
        hung = shop.buy()
        job = {**HANGING, "session_id": hung.session_id, "owner_id": hung.owner_id}
        report = {"host": "elsewhere", "pid": 1, "version": "0", "capacity": 1, "busy": 1, "jobs": [job]}
        admin.hset(keys.REPORTS, "elsewhere", json.dumps(report))
        admin.zadd(keys.WORKERS, {"elsewhere": (seconds + 300) * 1000})
        admin.hset(keys.RUNNING, f"b2c:{hung.owner_id}:{hung.session_id}", "elsewhere")
        expect(card).to_contain_text("1 job hanging, the longest for 6 min in its step generate")
        card.get_by_role("link", name="Show the session").click()
        expect(page.get_by_text("Running on elsewhere: the picture is being made")).to_be_visible()
        page.get_by_role("link", name="Now").click()
        admin.hdel(keys.RUNNING, f"b2c:{hung.owner_id}:{hung.session_id}")
        admin.zrem(keys.WORKERS, "elsewhere")

    with incident(page, "supabase_rest_away", "Supabase's database does not answer") as card:
        fault = shop.supabase.gateway.add(Fault(" /rest/v1/", Do.ANSWER, AWAY, times=None))
        orders = push_orders(shop, 1)
        expect(card).to_contain_text("Supabase's database does not answer")
        assert (health(url)["status"], health(url)["incidents"]) == ("degraded", ["supabase_rest_away"])
        (begin,) = [process.wait_for("incident begins", code="supabase_rest_away")]
        told = degraded_status(production_env)
        assert [one["since"][:19] for one in told["incidents"]] == [begin["since"][:19]]
        shop.supabase.gateway.forget(fault)
        shop.wait_for_end(orders[0])
    ended = process.wait_for("incident ends", code="supabase_rest_away")
    assert ended["lasted_s"] > ended["after_last_refusal_s"] >= ended["after_answer_s"]
    expect(page.locator("[data-recovered=supabase_rest_away]")).to_contain_text("after Supabase came back; it lasted")

    with incident(page, "openai_quota_used_up", "no money left", recovers=False) as card:
        openai.always(INSUFFICIENT_QUOTA)
        orders += push_orders(shop, 1)
        expect(card).to_contain_text("The OpenAI account has no money left")
        openai.always(Picture())
        shop.wait_for_end(orders[-1])

    with incident(page, "openai_key_refused", "OpenAI refuses our key"):
        with incident(page, "paused_by_itself", "paused by itself") as card:
            openai.always(INVALID_KEY)
            orders += push_orders(shop, 4)
            expect(page.locator("[data-incident=openai_key_refused]")).to_contain_text("OPENAI_API_KEY")
            expect(card).to_contain_text("The fleet is paused by itself")
            for code in ("openai_key_refused", "paused_by_itself"):
                process.wait_for("incident begins", code=code)
            openai.always(Picture())
            card.get_by_role("button", name="Resume").click()
        for order in orders:
            shop.wait_for_end(order)

    with incident(page, "redis_read_only", "Redis takes no writes") as card:
        admin.replicaof("127.0.0.1", str(free_port()))
        expect(card).to_contain_text("Redis takes no writes: it is a replica")
        process.wait_for("incident begins", code="redis_read_only")
        admin.replicaof("NO", "ONE")
    admin.close()
    all_completed_and_paid_once(shop, openai, orders)
    for code in ("openai_key_refused", "paused_by_itself", "redis_read_only"):
        assert (
            process.wait_for("incident ends", code=code)["since"]
            == process.wait_for("incident begins", code=code)["since"]
        )
