"""The shapes that outages of Supabase really have: each for a while under twelve running jobs, and nobody notices.

    uv run pytest tests/e2e/test_supabase_outage_shapes.py -s     # with figures

While it lasts `/health` must name it; afterwards all complete, and each picture was paid once.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from support.gateway import JSON, Do, Fault, Response
from support.machines import Machines
from support.openai_stub import OpenAIStub
from support.outages import (
    HTML,
    JOBS,
    PAGE,
    all_completed_and_paid_once,
    all_is_well,
    buy_orders,
    completed,
    goes_on,
    push,
    push_orders,
    sit_it_out,
    wait_for_requests,
)
from support.postgrest import Supabase
from support.shop import Shop

pytestmark = pytest.mark.slow

REST, STORAGE, EVERYTHING = " /rest/v1/", " /storage/v1/(?!object/sign/.*token=)", ""
"""Requests by their line; a signed URL is opened without our key."""


def postgrest(status: int, code: str, message: str) -> Response:
    return Response(
        status, f'{{"code": "{code}", "message": "{message}", "details": null, "hint": null}}'.encode(), JSON
    )


def storage(meant: int, error: str, code: str) -> Response:
    body = {"statusCode": str(meant), "error": error, "code": code, "message": "x"}
    return Response(400, json.dumps(body).encode(), JSON)


def answers(*faults: tuple[str, Response]) -> Callable[[Supabase], Iterator[None]]:
    """Instead of the service, the gateway answers: by patterns, the first that fits."""

    def last(supabase: Supabase) -> Iterator[None]:
        added = [supabase.gateway.add(Fault(pattern, Do.ANSWER, answer, times=None)) for pattern, answer in faults]
        yield
        supabase.gateway.forget(*added)

    return last


def right_refused(supabase: Supabase) -> Iterator[None]:
    supabase.sql("revoke update on generation_sessions, store_generation_sessions from service_role")
    yield
    supabase.sql("grant update on generation_sessions, store_generation_sessions to service_role")


def read_only(supabase: Supabase) -> Iterator[None]:
    """PostgREST begins each transaction as its role's settings say; it overrides `default_transaction_read_only`."""
    supabase.sql("alter role service_role set transaction_read_only = on")
    supabase.sql("notify pgrst, 'reload config'")
    yield
    supabase.sql("alter role service_role reset transaction_read_only")
    supabase.sql("notify pgrst, 'reload config'")


def standby(supabase: Supabase) -> Iterator[None]:
    """A failover that went wrong: every connection ends, and the database may only be read until it is promoted."""
    supabase.postgres.demote()
    yield
    supabase.postgres.promote()


def half_open(supabase: Supabase) -> Iterator[None]:
    """Every request that comes meanwhile is on a connection that never says another word, and is never reset."""
    fault = supabase.gateway.add(Fault(EVERYTHING, Do.LOSE_REQUEST, times=None, hold_request=True))
    yield
    supabase.gateway.forget(fault)


def slow(supabase: Supabase) -> Iterator[None]:
    fault = supabase.gateway.add(Fault(EVERYTHING, times=None, delay=1.1))
    yield
    supabase.gateway.forget(fault)


@dataclass(frozen=True)
class Outage:
    """`words`: a piece of what `/health` says."""

    name: str
    last: Callable[[Supabase], Iterator[None]]
    words: str


TOO_LARGE = storage(413, "Payload too large", "EntityTooLarge")

OUTAGES = [
    Outage(
        "refused key",
        answers(
            (REST, postgrest(401, "PGRST303", "JWT issued at future")),
            ("GET /storage/v1/(bucket|object/info)", storage(404, "Bucket not found", "NoSuchBucket")),
            (STORAGE, storage(403, "Unauthorized", "AccessDenied")),
        ),
        "Supabase refuses our key",
    ),
    Outage("refused right", right_refused, "Supabase gives us no right to do what we must (403 42501)"),
    Outage("read-only", read_only, "Supabase's database cannot be written (405 25006)"),
    Outage("standby", standby, "Supabase's database cannot be written (400 0A000)"),
    Outage(
        "stale schema",
        answers((REST, postgrest(404, "PGRST205", "Could not find the table in the schema cache"))),
        "its schema cache is stale (404 PGRST205)",
    ),
    Outage("page of a gateway", answers((EVERYTHING, Response(403, HTML, PAGE))), "Supabase gives us no right"),
    Outage("page with 200", answers((EVERYTHING, Response(200, HTML, PAGE))), "gives no usable answer"),
    Outage("uploads refused", answers((f"(POST|PUT){STORAGE}", TOO_LARGE)), "takes no picture so large"),
    Outage("half-open connections", half_open, "has not answered for 5 s"),
    Outage("latency of a second", slow, "Supabase answers slowly"),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_an_outage_of_this_shape_fails_nobody(
    shop: Shop, machines: Machines, openai: OpenAIStub, outage: Outage
) -> None:
    openai.latency_s = 2.0
    process = machines.serve(WORKER_CONCURRENCY=str(JOBS))
    url = process.wait_for("started")["url"]
    orders = push_orders(shop, JOBS)
    wait_for_requests(openai, JOBS // 2)  # some are paid already when they find out, some are not
    later = buy_orders(shop, 4)  # the platform can open no session while its database is a standby
    with contextmanager(outage.last)(shop.supabase):
        push(shop, later)
        orders += later
        sit_it_out(url, outage.words)
        done = completed(shop)
    goes_on(shop, min(done, len(orders) - 1))
    all_completed_and_paid_once(shop, openai, orders)
    # The next thing that is granted clears it; without a job, housekeeping asks every five minutes.
    all_completed_and_paid_once(shop, openai, orders + push_orders(shop, 2))
    all_is_well(url)
