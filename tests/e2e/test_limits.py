"""What a store may have: tasks beyond its limit of a day end at once, whatever of it runs and waits."""

from dataclasses import replace
from uuid import uuid4

import pytest

from support.machines import Machines
from support.openai_stub import Hang, OpenAIStub
from support.processes import wait_until
from support.shop import Shop
from wearon.tryon.retry_policy import STORE_LIMIT_MESSAGE

pytestmark = pytest.mark.slow


def test_a_task_over_the_limit_of_a_day_is_refused_and_refunded_while_all_slots_are_taken(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.always(Hang())
    refused, other = shop.buy("b2b"), shop.buy("b2b")
    accepted = [replace(refused, session_id=str(uuid4())) for _ in range(2)]
    shop.supabase.sql(
        "insert into store_generation_sessions (id, store_id, request_id) select unnest(%s::uuid[]), %s, %s",
        [[order.session_id for order in accepted], refused.owner_id, refused.request_id],
    )
    machines.serve("--no-api", WORKER_CONCURRENCY="1", STORE_DAILY_LIMIT="2")
    for order in accepted:
        shop.push(order)
    wait_until(lambda: openai.requests or None, lambda: "no job runs")
    shop.push(refused)
    shop.push(other)
    assert shop.wait_for_end(refused)["error_message"] == STORE_LIMIT_MESSAGE
    wait_until(lambda: shop.credits_back(refused) or None, lambda: "no refund")
    assert shop.check_books(refused)["status"] == "failed"
    # The call of the first still runs, and what was accepted waits for its slot.
    assert len(openai.requests) == 1
    assert [shop.row(order)["status"] for order in (*accepted, other)] == ["processing", "queued", "queued"]
