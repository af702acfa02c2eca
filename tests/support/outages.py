"""What tests of outages share: orders under way, and the books after it."""

from support.openai_stub import OpenAIStub
from support.processes import wait_until
from support.shop import Order, Shop


def push_orders(shop: Shop, count: int) -> list[Order]:
    """Of both channels; an order's prompt is its session's id."""
    orders = [shop.buy(("b2c", "b2b")[number % 2]) for number in range(count)]
    for order in orders:
        shop.push(order, prompt=order.session_id)
    return orders


def wait_for_requests(openai: OpenAIStub, count: int) -> None:
    """Until the image model has been asked so often."""
    wait_until(lambda: len(openai.requests) >= count or None, lambda: f"{len(openai.requests)} requests")


def all_completed_and_paid_once(shop: Shop, openai: OpenAIStub, orders: list[Order]) -> None:
    """Nobody has failed, and no picture was paid twice."""
    shop.wait_until_settled()
    for order in orders:
        assert shop.check_books(order)["status"] == "completed"
    paid = sorted(request.fields["prompt"] for request in openai.paid)
    assert paid == sorted(order.session_id for order in orders)
