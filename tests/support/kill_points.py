"""Where a job can be killed: each point makes one order's job stand still at one exact instant.

Many orders are held at once, each at a point of its own, so that one kill -9 tests them all.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from support.gateway import Do, Fault
from support.openai_stub import MODERATION, Hang, OpenAIStub, Picture
from support.processes import wait_until
from support.redis_proxy import RedisProxy
from support.shop import Order, Shop

Reached = Callable[[], bool]


@dataclass(frozen=True)
class Point:
    """An instant. `arrange` breaks the world for one order and says how to see that the instant has come.

    `paid`: how many pictures the order may cost. `fails`: the image model refuses this order.
    """

    name: str
    arrange: "Callable[[World, Order], Reached]"
    fails: bool = False
    paid: int = 1
    channel: str = "b2c"
    resell: bool = False


@dataclass(frozen=True)
class World:
    """What points are arranged in."""

    shop: Shop
    openai: OpenAIStub
    proxy: RedisProxy

    def push_to(self, point: Point) -> Order:
        """Buy and push an order whose job will stand still there, and wait until it does."""
        order, reached = self._push(point)
        self._wait({point.name: reached})
        return order

    def push_to_all(self, points: Sequence[Point]) -> dict[str, Order]:
        """The same for many at once; the orders by their point's name."""
        pushed = {point.name: self._push(point) for point in points}
        self._wait({name: reached for name, (_, reached) in pushed.items()})
        return {name: order for name, (order, _) in pushed.items()}

    def behave(self) -> None:
        """Hold nothing any more."""
        self.shop.supabase.gateway.behave()
        self.proxy.behave()

    def paid(self, order: Order) -> int:
        """How many pictures were paid for the order."""
        return sum(1 for request in self.openai.paid if request.fields["prompt"] == order.session_id)

    def check(self, points: Sequence[Point], orders: dict[str, Order]) -> None:
        """The one ledger check over everything."""
        problems = []
        for point in points:
            order = orders[point.name]
            try:
                row = self.shop.check_books(order)
                assert row["status"] == ("failed" if point.fails else "completed"), row["error_message"]
                assert self.paid(order) == (0 if point.fails else point.paid), f"paid {self.paid(order)} times"
            except AssertionError as error:
                problems.append(f"{point.name}: {error}")
        assert not problems, "\n".join(problems)

    def _push(self, point: Point) -> tuple[Order, Reached]:
        order = self.shop.buy(point.channel, credits=2, resell=point.resell)
        if point.fails:
            self.openai.when(order.session_id, MODERATION)
        reached = point.arrange(self, order)
        # The order's own picture and prompt: that is how the gateway and the stand-in know it again.
        person_url = self.shop.upload(f"{order.session_id}.jpg", self.shop.person)
        self.shop.push(order, [person_url, self.shop.garment_url], prompt=order.session_id)
        return order, reached

    @staticmethod
    def _wait(reached: dict[str, Reached]) -> None:
        def all_reached() -> bool | None:
            return True if all(look() for look in reached.values()) else None

        wait_until(all_reached, lambda: f"never reached: {[name for name, look in reached.items() if not look()]}")


def _http(line: str, *, body: bytes = b"", after: bool = False) -> "Callable[[World, Order], Reached]":
    """Held before the service sees the request, or `after` it has done it. `{sid}` and `{table}` are the order's."""

    def arrange(world: World, order: Order) -> Reached:
        fault = Fault(
            line.format(sid=order.session_id, table=order.table),
            Do.LOSE_ANSWER if after else Do.LOSE_REQUEST,
            body=body.replace(b"SID", order.session_id.encode()),
            hold_request=not after,
            hold_answer=after,
        )
        return world.shop.supabase.gateway.add(fault).reached.is_set

    return arrange


def _redis(pattern: bytes, *, after: bool = False, answer: bool = False) -> "Callable[[World, Order], Reached]":
    """Held before Redis sees the command, or `after` it has done it; `answer`: the pattern is one of what it says."""

    def arrange(world: World, order: Order) -> Reached:
        return world.proxy.hold(
            _of(pattern, order), at="answer" if after or answer else "request", in_answer=answer
        ).reached.is_set

    return arrange


def _enqueued(world: World, order: Order) -> Reached:
    """Held after Redis has enqueued the job. This process does not get it: what OpenAI is asked would be paid."""
    world.proxy.hold(_of(TAKEN, order), at="answer", in_answer=True)
    return world.proxy.hold(_of(ENQUEUE, order), at="answer").reached.is_set


def _of(pattern: bytes, order: Order) -> bytes:
    return pattern.replace(b"SID", re.escape(order.session_id.encode()))


def _openai_hangs(world: World, order: Order) -> Reached:
    world.openai.when(order.session_id, Hang(), Picture())
    return lambda: any(request.fields["prompt"] == order.session_id for request in world.openai.requests)


ENQUEUE = rb"EVALSHA\r\n.*wearon:taken\r\n.*SID"
TAKEN = rb"b2c:[^:\r]*:SID\r\n"

ROW = r"PATCH /rest/v1/{table}\?id=eq\.{sid}"
UPLOAD = r"(POST|PUT) /storage/v1/object/virtual-tryon-images/.*{sid}\.jpg"
SIGN = r"POST /storage/v1/object/sign/virtual-tryon-images/.*{sid}\.jpg"
PROCESSING, COMPLETED, FAILED = b'"processing"', b'"completed"', b'"failed"'

PLATFORM_POINTS = [
    Point("before processing", _http(ROW, body=PROCESSING)),
    Point("after processing", _http(ROW, body=PROCESSING, after=True)),
    Point("during download", _http(r"GET /storage/v1/object/sign/.*{sid}\.jpg")),
    Point("download answered", _http(r"GET /storage/v1/object/sign/.*{sid}\.jpg", after=True)),
    Point("during the OpenAI call", _openai_hangs),
    Point("before the upload", _http(UPLOAD)),
    Point("after the upload", _http(UPLOAD, after=True)),
    Point("before signing", _http(SIGN)),
    Point("after signing", _http(SIGN, after=True)),
    Point("before completed", _http(ROW, body=COMPLETED)),
    Point("after completed", _http(ROW, body=COMPLETED, after=True)),
    Point("before completed, b2b", _http(ROW, body=COMPLETED), channel="b2b"),
    Point("after completed, b2b", _http(ROW, body=COMPLETED, after=True), channel="b2b"),
    *(
        Point(f"{'after' if after else 'before'} {what}, {kind}", arrange, fails=True, channel=channel, resell=resell)
        for kind, channel, resell in (("b2c", "b2c", False), ("store", "b2b", False), ("shopper", "b2b", True))
        for after in (False, True)
        for what, arrange in (
            ("failed", _http(ROW, body=FAILED, after=after)),
            ("the refund", _http(r"POST /rest/v1/rpc/refund_", body=b"SID", after=after)),
        )
    ),
]
"""Steps of one job that others see over HTTP. The OpenAI call that was in flight was answered to nobody: unpaid."""

REDIS_POINTS = [
    Point("before the intent", _redis(rb"HSETNX\r\n.*wearon:refunds\r\n.*SID"), fails=True),
    Point("after the intent", _redis(rb"HSETNX\r\n.*wearon:refunds\r\n.*SID", after=True), fails=True),
    Point("intent, store", _redis(rb"HSETNX\r\n.*wearon:refunds\r\n.*SID", after=True), fails=True, channel="b2b"),
    Point("before the lock", _redis(rb"SET\r\n[^\n]*\n[^\n]*wearon:refunds:lock:[^\n]*SID"), fails=True),
    Point("after the lock", _redis(rb"SET\r\n[^\n]*\n[^\n]*wearon:refunds:lock:[^\n]*SID", after=True), fails=True),
    Point("before the intent goes", _redis(rb"HDEL\r\n.*wearon:refunds\r\n.*SID"), fails=True),
    Point("after the intent has gone", _redis(rb"HDEL\r\n.*wearon:refunds\r\n.*SID", after=True), fails=True),
    Point("before the job ends", _redis(rb"EVALSHA\r\n[^*]*wearon:running\r\n[^*]*wearon:jobs\r\n[^*]*SID")),
    Point(
        "after the job has ended",
        _redis(rb"EVALSHA\r\n[^*]*wearon:running\r\n[^*]*wearon:jobs\r\n[^*]*SID", after=True),
    ),
]
"""Steps of one job between us and Redis, which gives up after 5 s: they must be reached soon after each other."""

HAND_OVER_POINTS = [
    Point("after the pop", _redis(rb"SID", answer=True)),
    Point("before the enqueue", _redis(ENQUEUE)),
    Point("after the enqueue", _enqueued),
    Point("after the take", _redis(TAKEN, answer=True)),
]
"""Steps of the consumer, and the worker's first one. They stand in one line: each needs a kill of its own."""

MOVE = rb"EVALSHA\r\n[^*]*wearon:taken\r\n\$\d+\r\nwearon:dead-letters\r\n\$\d+\r\nwearon:tasks:generation\r\n"
"""Many documents on their way from the producers' list."""

CANCEL = rb"EVALSHA\r\n[^*]*wearon:jobs\r\n[^*]*wearon:running\r\n[^*]*wearon:refunds\r\n[^*]*SID"

CANCEL_POINTS = [
    Point("after the cancel", _redis(CANCEL, after=True), fails=True),
    Point("cancelled, after failed", _http(ROW, body=FAILED, after=True), fails=True),
    Point("cancelled, before failed, b2b", _http(ROW, body=FAILED), fails=True, channel="b2b"),
    Point(
        "cancelled, after the refund, b2b",
        _http(r"POST /rest/v1/rpc/refund_", body=b"SID", after=True),
        fails=True,
        channel="b2b",
    ),
]
"""Steps of `wearon cancel`, which is killed there."""
