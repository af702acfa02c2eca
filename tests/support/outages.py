"""What tests of outages share: orders under way, what `/health` says of it, and the books after it.

What was promised with a time is waited for so long and no longer; nothing is measured.
"""

import os
import time
from typing import Any

import httpx

from support.openai_stub import OpenAIStub
from support.processes import wait_until
from support.shop import Order, Shop

OUTAGE_S = float(os.environ.get("OUTAGE_S", "20"))
"""How long a shape of outage lasts."""

WITHIN_S = 10.0
"""`/health` names an outage so soon after its beginning, and work goes on so soon after its end."""

JOBS = 12

HTML = b"<html><head><title>Just a moment...</title></head></html>"
PAGE = {"Content-Type": "text/html"}
"""What a gateway shows to people instead of passing a request on, and its headers."""


def push_orders(shop: Shop, count: int) -> list[Order]:
    """Of both channels."""
    orders = buy_orders(shop, count)
    push(shop, orders)
    return orders


def buy_orders(shop: Shop, count: int) -> list[Order]:
    """Of both channels; their tasks are not pushed yet."""
    return [shop.buy(("b2c", "b2b")[number % 2]) for number in range(count)]


def push(shop: Shop, orders: list[Order]) -> None:
    """Their tasks; an order's prompt is its session's id."""
    for order in orders:
        shop.push(order, prompt=order.session_id)


def wait_for_requests(openai: OpenAIStub, count: int) -> None:
    """Until the image model has been asked so often."""
    wait_until(lambda: len(openai.requests) >= count or None, lambda: f"{len(openai.requests)} requests")


def sit_it_out(url: str, words: str | None) -> None:
    """The length of an outage, in whose first seconds `/health` must say these words. None: it need not."""
    began = time.monotonic()
    if words is not None:
        wait_until(
            lambda: _names(url, words), lambda: f"/health does not say {words!r}: {health(url)}", limit_s=WITHIN_S
        )
        print(f"named after {time.monotonic() - began:.1f} s")
    time.sleep(max(0.0, began + OUTAGE_S - time.monotonic()))


def goes_on(shop: Shop, done: int, *, limit_s: float = WITHIN_S) -> None:
    """The outage is over: soon, more sessions than that are completed."""
    began = time.monotonic()
    wait_until(lambda: completed(shop) > done or None, lambda: "work does not go on", limit_s=limit_s)
    print(f"going on {time.monotonic() - began:.1f} s after its end")


def completed(shop: Shop) -> int:
    """How many sessions are."""
    sql = shop.supabase.sql
    rows = sql("select id from generation_sessions where status = 'completed'")
    return len(rows) + len(sql("select id from store_generation_sessions where status = 'completed'"))


def all_completed_and_paid_once(shop: Shop, openai: OpenAIStub, orders: list[Order]) -> None:
    """Nobody has failed, and no picture was paid twice."""
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"
    paid = sorted(request.fields["prompt"] for request in openai.paid)
    assert paid == sorted(order.session_id for order in orders)


def all_is_well(url: str) -> None:
    """`/health` says so, soon."""
    wait_until(lambda: (health(url)["status"], health(url)["refusals"]) == ("ok", []) or None, lambda: f"{health(url)}")


def health(url: str) -> dict[str, Any]:
    """What `/health` says."""
    found: dict[str, Any] = httpx.get(f"{url}/health").json()
    return found


def _names(url: str, words: str) -> bool | None:
    report = health(url)
    named = any(words in refusal["words"] for refusal in report["refusals"])
    # An answer to a call that began earlier clears the refusal; the pause stays.
    named |= any(words in pause["reason"] for pause in report["pauses"])
    assert not named or report["status"] == "degraded"
    return named or None
