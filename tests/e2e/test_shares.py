"""What each tenant has of a fleet over ten minutes in which all of them have more to do than it can."""

import json
from collections import Counter
from collections.abc import Sequence
from uuid import uuid4

import pytest

from support.machines import Machines
from support.processes import WorkerProcess, wait_until
from support.shop import Shop
from support.short_serve import STARTED

pytestmark = pytest.mark.slow

STARTS = 3000
"""Ten minutes at 300 jobs a minute, which is what one OpenAI account allows the fleet."""

STEP = 250
"""Starts that are waited for at once."""

STORES = {str(uuid4()): weight for weight in (5.0, 2.0, 1.0, 1.0, 0.5)}
WEIGHTS = {"b2c": 10.0, **{f"b2b:{store}": weight for store, weight in STORES.items()}}
"""b2c's is the default, and that of the stores of 1."""


def test_shares_over_ten_minutes_are_within_a_twentieth_of_the_weights(shop: Shop, machines: Machines) -> None:
    named = ",".join(f"{store}={weight:g}" for store, weight in STORES.items() if weight != 1.0)
    shop.redis.hset("wearon:pauses", "*", "{}")
    three = [machines.short_serve("--no-api", WORKER_CONCURRENCY="5", STORE_WEIGHTS=named) for _ in range(3)]
    expected = {tenant: STARTS * weight / sum(WEIGHTS.values()) for tenant, weight in WEIGHTS.items()}
    for tenant, wanted in expected.items():  # one after the other, as catalogues come
        shop.redis.lpush("wearon:tasks:generation", *(task(tenant) for _ in range(round(wanted * 1.3))))
    wait_until(
        lambda: shop.redis.llen("wearon:tasks:generation") + shop.redis.llen("wearon:taken") == 0 or None,
        lambda: "not all tasks are in lines",
    )
    assert not any(starts(process) for process in three)
    shop.redis.hdel("wearon:pauses", "*")
    for count in range(STEP, STARTS + 1, STEP):
        wait_for_starts(three, count)
    assert all(shop.redis.zcard(f"wearon:pending:{tenant}") > 0 for tenant in WEIGHTS), "one had nothing left to do"
    told = sorted(start for process in three for start in starts(process))
    shares = Counter(tenant for _, tenant in told[:STARTS])
    assert {tenant: shares[tenant] for tenant in WEIGHTS} == {
        tenant: pytest.approx(count, rel=0.05) for tenant, count in expected.items()
    }
    assert min(len(starts(process)) for process in three) > STARTS / 10, "one of the three hardly worked"


def wait_for_starts(processes: Sequence[WorkerProcess], count: int) -> None:
    """Return when so many jobs have begun at all of them together."""
    wait_until(
        lambda: sum(len(starts(process)) for process in processes) >= count or None,
        lambda: "\n".join(process.log[-2000:] for process in processes),
    )


def starts(process: WorkerProcess) -> list[tuple[str, str]]:
    """When jobs have begun there, and whose they are."""
    return [(line["timestamp"], line["tenant"]) for line in process.lines if line["event"] == STARTED]


def task(tenant: str) -> str:
    """A task of the tenant; of b2c, each of another shopper."""
    store = tenant.removeprefix("b2b:")
    owner = {"channel": "b2c", "user_id": str(uuid4())} if tenant == "b2c" else {"channel": "b2b", "store_id": store}
    return json.dumps(
        {
            **owner,
            "task_id": str(uuid4()),
            "session_id": str(uuid4()),
            "image_urls": ["https://example.com/person.jpg", "https://example.com/garment.jpg"],
            "prompt": "",
            "request_id": f"req_{uuid4().hex}",
            "version": 1,
            "created_at": "2026-11-30T12:00:00Z",
        }
    )
