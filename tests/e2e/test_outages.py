"""Redis, Supabase, Storage or OpenAI go away while jobs run: work goes on by itself, and it fails no shopper."""

import time
from datetime import UTC, datetime

import httpx
import pytest

from support.gateway import Do, Fault
from support.machines import Machines
from support.openai_stub import MODERATION, Answer, OpenAIStub, Picture, Reset, server_error
from support.openai_stub import Fault as Stumble
from support.outages import all_completed_and_paid_once, push_orders, wait_for_requests
from support.processes import wait_until
from support.redis import RedisServer
from support.shop import Shop

pytestmark = pytest.mark.slow

OUTAGE_S = 3.0
"""Long enough that every connection notices it; what is shorter than a job's deadline must fail nobody."""

SHORT_FAULTS: list[list[Stumble]] = [
    [Reset()],
    [Reset(), Reset()],
    [server_error(503)],
    [server_error(), server_error()],
]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_redis_goes_and_comes_back_while_jobs_run(
    shop: Shop, machines: Machines, openai: OpenAIStub, redis_server: RedisServer, how: str
) -> None:
    openai.latency_s = 1.5
    machines.serve("--no-api", WORKER_CONCURRENCY="4")
    orders = push_orders(shop, 8)
    wait_for_requests(openai, 4)
    redis_server.stop() if how == "stopped" else redis_server.kill()
    time.sleep(OUTAGE_S)
    redis_server.start()
    orders += push_orders(shop, 2)
    all_completed_and_paid_once(shop, openai, orders)


def test_supabase_goes_and_comes_back_while_jobs_run(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    openai.latency_s = 1.0
    machines.serve("--no-api", WORKER_CONCURRENCY="4")
    orders = push_orders(shop, 8)
    wait_for_requests(openai, 4)
    shop.supabase.gateway.stop()
    time.sleep(OUTAGE_S)
    shop.supabase.gateway.start()
    all_completed_and_paid_once(shop, openai, orders)


@pytest.mark.parametrize(
    "fault",
    [
        {"pattern": " /rest/v1/", "chance": 0.3, "times": 40},
        {"pattern": " /rest/v1/", "chance": 0.3, "times": 40, "do": Do.LOSE_REQUEST},
        {"pattern": " /storage/v1/", "times": 12, "do": Do.ANSWER},
        {"pattern": " /storage/v1/", "chance": 0.3, "times": 40, "do": Do.LOSE_ANSWER},
    ],
    ids=["REST answers 500", "REST hangs up", "Storage answers 500", "Storage loses answers"],
)
def test_supabase_stumbles(shop: Shop, machines: Machines, openai: OpenAIStub, fault: dict[str, object]) -> None:
    shop.supabase.gateway.add(Fault(**{"do": Do.ANSWER, **fault}))  # type: ignore[arg-type]
    machines.serve("--no-api")
    all_completed_and_paid_once(shop, openai, push_orders(shop, 6))


def test_openai_stumbles(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    orders = [shop.buy() for _ in range(4)]
    for order, faults in zip(orders, SHORT_FAULTS, strict=True):
        openai.when(order.session_id, *faults, Picture())
        shop.push(order, prompt=order.session_id)
    machines.serve("--no-api")
    all_completed_and_paid_once(shop, openai, orders)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Answer(403, b"<html>forbidden</html>"), "OpenAI refuses our key"),
        (Answer(404, b"<html>no such page</html>"), "OpenAI does not answer"),
        (Answer(502, b"<html>bad gateway</html>"), "OpenAI does not answer"),
    ],
    ids=["403 of a gateway", "404 of a gateway", "502 of a gateway"],
)
def test_openai_refuses_us_for_a_while(
    shop: Shop, machines: Machines, openai: OpenAIStub, refusal: Answer, words: str
) -> None:
    openai.always(refusal)
    url = machines.serve(WORKER_CONCURRENCY="12").wait_for("started")["url"]
    orders = push_orders(shop, 12)

    def told() -> bool | None:
        health = httpx.get(f"{url}/health").json()
        return (
            words in [refused["words"] for refused in health["refusals"]] and health["status"] == "degraded"
        ) or None

    wait_until(told, lambda: str(httpx.get(f"{url}/health").json()))
    time.sleep(OUTAGE_S)
    openai.always(Picture())
    all_completed_and_paid_once(shop, openai, orders)
    assert httpx.get(f"{url}/health").json()["refusals"] == []


def test_every_answer_of_the_platform_is_lost_once(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    completing = [shop.buy(channel) for channel in ("b2c", "b2b")]
    failing = [shop.buy("b2c", credits=3), shop.buy("b2b", credits=2), shop.buy("b2b", resell=True)]
    for order in completing + failing:
        steps = [
            (rf"PATCH /rest/v1/{order.table}\?id=eq\.{order.session_id}", b'"processing"'),
            (rf"PATCH /rest/v1/{order.table}\?id=eq\.{order.session_id}", b'"completed"'),
            (rf"PATCH /rest/v1/{order.table}\?id=eq\.{order.session_id}", b'"failed"'),
            (r"POST /rest/v1/rpc/refund_", order.session_id.encode()),
            (rf"(POST|PUT) /storage/v1/object/virtual-tryon-images/.*{order.session_id}\.jpg", b""),
            (rf"POST /storage/v1/object/sign/virtual-tryon-images/.*{order.session_id}\.jpg", b""),
        ]
        for pattern, body in steps:
            shop.supabase.gateway.add(Fault(pattern, Do.LOSE_ANSWER, body=body))
    for order in failing:
        openai.when(order.session_id, MODERATION)
    machines.serve("--no-api")
    for order in completing + failing:
        shop.push(order, prompt=order.session_id)
    shop.wait_until_settled()
    assert [shop.check_books(order)["status"] for order in completing] == ["completed"] * 2
    assert [shop.check_books(order)["status"] for order in failing] == ["failed"] * 3
    assert openai.pictures_sent == 2


def test_the_platforms_cron_fails_and_refunds_first(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    gateway = shop.supabase.gateway
    completing, failing = shop.buy(), shop.buy()
    openai.when(failing.session_id, MODERATION)
    held = [
        gateway.add(Fault(f"PATCH .*{order.session_id}", body=body, hold_request=True))
        for order, body in ((completing, b'"completed"'), (failing, b'"failed"'))
    ]
    machines.serve("--no-api")
    for order, fault in zip((completing, failing), held, strict=True):
        shop.push(order, prompt=order.session_id)
        assert fault.reached.wait(60)
    for order, fault in zip((completing, failing), held, strict=True):
        shop.act_as_cron(order)
        fault.release()
    shop.wait_until_settled()
    for order in (completing, failing):
        row = shop.check_books(order)
        assert (row["status"], row["error_message"]) == ("failed", "Timed out")


def test_the_same_task_pushed_many_times_is_done_once(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    openai.latency_s = 0.5
    order, other = shop.buy(), shop.buy("b2b", resell=True)
    openai.when(other.session_id, MODERATION)
    for _ in range(5):
        shop.push(order, prompt=order.session_id)
        shop.push(other, prompt=other.session_id)
    machines.serve("--no-api")
    shop.wait_for_end(order)
    shop.push(order, prompt=order.session_id, created_at=datetime.now(UTC).isoformat())
    shop.push(other, prompt=other.session_id)
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert shop.check_books(other)["status"] == "failed"
    assert openai.pictures_sent == 1
