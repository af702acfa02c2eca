"""The shop's side in end-to-end tests: takes credits, opens sessions, pushes tasks, and does the books afterwards."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import redis as sync_redis
from PIL import Image, ImageDraw

from support.postgrest import Supabase
from support.processes import wait_until

FINAL = {"completed", "failed"}
SHOPPER = "shopper@example.com"


@dataclass
class Order:
    """One generation that was bought. `shopper` is set in resell mode."""

    channel: str
    owner_id: str
    session_id: str = field(default_factory=lambda: str(uuid4()))
    request_id: str = field(default_factory=lambda: f"req_{uuid4().hex}")
    credits: int = 1
    shopper: str | None = None

    @property
    def table(self) -> str:
        """Where its session lies."""
        return "store_generation_sessions" if self.channel == "b2b" else "generation_sessions"

    @property
    def picture_path(self) -> str:
        """Where its result lies (the contract)."""
        folder = f"stores/{self.owner_id}/generated" if self.channel == "b2b" else f"generated/{self.owner_id}"
        return f"{folder}/{self.session_id}.jpg"


class Shop:
    """A platform's API on the test's Supabase and Redis."""

    def __init__(self, supabase: Supabase, redis_url: str) -> None:
        self.supabase = supabase
        self.redis = sync_redis.Redis.from_url(redis_url)
        self.person = picture("steelblue")
        self.person_url = self.upload("person.jpg", self.person)
        self.garment_url = self.upload("garment.jpg", picture("firebrick"))

    def upload(self, name: str, content: bytes) -> str:
        """Put an input picture into the bucket; its signed URL."""
        return self.supabase.url + "/storage/v1" + self.supabase.storage.put(f"uploads/{uuid4()}/{name}", content)

    def buy(self, channel: str = "b2c", *, credits: int = 1, resell: bool = False) -> Order:  # noqa: A002
        """Take the credits and open the session, as the platform's API does before it pushes."""
        order = Order(channel, str(uuid4()), credits=credits, shopper=SHOPPER if resell else None)
        sql = self.supabase.sql
        if channel == "b2c":
            sql("insert into user_credits values (%s, %s)", [order.owner_id, 10 - credits])
            sql(
                "insert into generation_sessions (id, user_id, credits_used) values (%s, %s, %s)",
                [order.session_id, order.owner_id, credits],
            )
            return order
        payer = ""
        if order.shopper:
            payer = f" (shopper={order.shopper})"
            sql(
                "insert into store_shopper_credits values (%s, %s, %s)",
                [order.owner_id, order.shopper, 10 - credits],
            )
        sql("insert into store_credits values (%s, %s)", [order.owner_id, 10 if order.shopper else 10 - credits])
        sql(
            "insert into store_credit_transactions (store_id, request_id, amount, type, description)"
            " values (%s, %s, %s, 'deduction', %s)",
            [order.owner_id, order.request_id, -credits, f"Try-on{payer}"],
        )
        # shopper_email may be set in any billing mode: it says nothing about who paid.
        sql(
            "insert into store_generation_sessions (id, store_id, request_id, shopper_email, credits_used)"
            " values (%s, %s, %s, %s, %s)",
            [order.session_id, order.owner_id, order.request_id, SHOPPER, credits],
        )
        return order

    def push(self, order: Order, image_urls: Sequence[str] | None = None, **changes: object) -> dict[str, Any]:
        """LPUSH the order's task; `changes` overwrite its fields."""
        owner = "store_id" if order.channel == "b2b" else "user_id"
        task: dict[str, Any] = {
            "task_id": str(uuid4()),
            "channel": order.channel,
            owner: order.owner_id,
            "session_id": order.session_id,
            "image_urls": list(image_urls if image_urls is not None else (self.person_url, self.garment_url)),
            "prompt": "",
            "request_id": order.request_id,
            "version": 1,
            "created_at": datetime.now(UTC).isoformat(),
            **changes,
        }
        self.push_raw(json.dumps(task))
        return task

    def push_raw(self, document: str | bytes) -> None:
        """LPUSH anything at all."""
        self.redis.lpush("wearon:tasks:generation", document)

    def row(self, order: Order) -> dict[str, Any]:
        """The order's session."""
        table = order.table
        if table == "generation_sessions":
            rows = self.supabase.sql("select * from generation_sessions where id = %s", [order.session_id])
        else:
            rows = self.supabase.sql("select * from store_generation_sessions where id = %s", [order.session_id])
        return rows[0]

    def wait_for_status(self, order: Order, *statuses: str) -> dict[str, Any]:
        """The session, once it has one of those statuses."""

        def look() -> dict[str, Any] | None:
            row = self.row(order)
            return row if row["status"] in statuses else None

        return wait_until(look, lambda: f"session is still {self.row(order)['status']}")

    def wait_for_end(self, order: Order) -> dict[str, Any]:
        """The session, once it is final."""
        return self.wait_for_status(order, *FINAL)

    def wait_until_settled(self) -> None:
        """Until nothing is on its way: no task, job or refund intent in Redis."""

        def look() -> bool | None:
            with self.redis.pipeline(transaction=False) as pipe:
                pipe.llen("wearon:tasks:generation")
                pipe.llen("wearon:taken")
                pipe.zcard("wearon:jobs")
                pipe.hlen("wearon:refunds")
                return True if not any(pipe.execute()) else None

        wait_until(look, lambda: "something is still on its way in Redis")

    def credits_back(self, order: Order) -> int:
        """How many of the order's credits have been given back, by the balances (each account began with 10)."""
        if order.channel == "b2c":
            rows = self.supabase.sql("select balance from user_credits where user_id = %s", [order.owner_id])
        elif order.shopper:
            rows = self.supabase.sql(
                "select balance from store_shopper_credits where store_id = %s and shopper_email = %s",
                [order.owner_id, order.shopper],
            )
        else:
            rows = self.supabase.sql("select balance from store_credits where store_id = %s", [order.owner_id])
        return int(rows[0]["balance"]) - (10 - order.credits)

    def age(self, order: Order, *, minutes: int) -> None:
        """Make the order's session so old."""
        since = f"{minutes} minutes"
        if order.channel == "b2c":
            self.supabase.sql(
                "update generation_sessions set created_at = now() - %s::interval where id = %s",
                [since, order.session_id],
            )
        else:
            self.supabase.sql(
                "update store_generation_sessions set created_at = now() - %s::interval where id = %s",
                [since, order.session_id],
            )

    def act_as_cron(self, order: Order) -> None:
        """What the platform's cron does with a b2c session that it finds too old: fail it and refund it."""
        self.supabase.sql(
            "update generation_sessions set status = 'failed', error_message = 'Timed out', completed_at = now()"
            " where id = %s",
            [order.session_id],
        )
        self.supabase.sql(
            "select refund_credits(%s, %s, %s)",
            [order.owner_id, order.credits, f"Refund for timed out session {order.session_id}"],
        )

    def refunds(self, order: Order) -> int:
        """How many refunds the ledger holds for the order."""
        if order.channel == "b2c":
            rows = self.supabase.sql(
                "select count(*) from credit_transactions where user_id = %s and type = 'refund'", [order.owner_id]
            )
        else:
            rows = self.supabase.sql(
                "select count(*) from store_credit_transactions where store_id = %s and type = 'refund'",
                [order.owner_id],
            )
        return int(rows[0]["count"])

    def check_books(self, order: Order) -> dict[str, Any]:
        """The promise about one order: completed with a real JPEG, or failed with exactly one refund. Its row."""
        row = self.row(order)
        stored = self.supabase.storage.objects.get(order.picture_path)
        assert row["status"] in FINAL, row
        assert row["completed_at"] is not None
        if row["status"] == "completed":
            assert self.credits_back(order) == 0
            assert self.refunds(order) == 0
            assert stored is not None
            assert stored.is_jpeg
            Image.open(io.BytesIO(stored.content)).load()
            assert stored.content_type == "image/jpeg"
            assert row["generated_image_url"]
            assert row["error_message"] is None
        else:
            assert self.credits_back(order) == order.credits
            assert self.refunds(order) == 1
            assert row["error_message"]
        return row

    def dead_letters(self) -> list[dict[str, Any]]:
        """All of them, newest first."""
        entries: Any = self.redis.lrange("wearon:dead-letters", 0, -1)
        return [json.loads(entry) for entry in entries]


def picture(colour: str, width: int = 600, height: int = 800) -> bytes:
    """A small JPEG."""
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).ellipse((width // 4, height // 8, 3 * width // 4, 7 * height // 8), fill=colour)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return content.getvalue()
