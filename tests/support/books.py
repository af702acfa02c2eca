"""Sessions that ended an hour ago with their books in order, and everything that an auditor compares."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from support.job_side import new_outbox, untyped
from support.platform_side import PlatformSide
from wearon.operations.audit.auditor import Audited, Auditor
from wearon.operations.audit.store import BookStore
from wearon.operations.entries import RunEntry
from wearon.operations.session_index import SessionLine
from wearon.platform.base import Channel, Platform, SessionRef, Status
from wearon.platform.session_rows import SESSION_TABLES
from wearon.queue import keys
from wearon.refunds.rules import refund_description
from wearon.tryon.retry_policy import INTERNAL_MESSAGE
from wearon.tryon.run import Outcome, Step, StepName

AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
COST = Decimal("0.065")


class Books:
    """The books of one platform and one Redis, which a test puts in order or damages."""

    def __init__(self, side: PlatformSide, redis: Redis) -> None:
        self.side = side
        self.redis = redis
        self._lines = 0

    def auditor(self, platform: Platform | None = None, *, later: timedelta = timedelta(0)) -> Auditor:
        """What one process audits with, some time from now."""
        platform = platform or self.side.platform

        async def clock() -> datetime:
            return await BookStore(self.redis).now() + later

        return Auditor(
            self.redis,
            platform,
            new_outbox(self.redis, platform),
            history_hours=24.0,
            requests_per_s=1e9,
            clock=clock,
        )

    async def found(self, audited: Audited | None = None) -> set[tuple[str, str]]:
        """What an audit finds: kinds and session ids."""
        audited = audited or await self.auditor().audit(timedelta(days=2))
        return {(finding.kind, finding.session_id) for finding in audited.findings}

    async def keep_history_from(self, moment: datetime) -> None:
        """Let the first audit have been made at that moment."""
        books = Auditor._no_books(moment)
        await BookStore(self.redis).write(books, [])

    def session(self, channel: Channel, status: Status, *, credits_used: int = 1, **columns: Any) -> SessionRef:
        """A session of an hour ago, with a charge in the ledger."""
        owner = self.side.add_user() if channel is Channel.B2C else self.side.add_store()
        request_id = f"req_{uuid4().hex}"
        ref = self.side.add_session(
            channel, status, owner_id=owner, request_id=request_id, created_at=AN_HOUR_AGO, credits_used=credits_used
        )
        self.set(ref, **columns)
        if channel is Channel.B2B:
            self.side.write_store_ledger(owner, request_id, "deduction", "Try-on", amount=-credits_used)
        else:
            self.side.write_user_ledger(owner, "deduction", f"Try-on, session {ref.session_id}", amount=-credits_used)
        return ref

    def set(self, ref: SessionRef, **columns: object) -> None:
        """Change the session row."""
        for column, value in columns.items():
            query = f"update {SESSION_TABLES[ref.channel].name} set {column} = %s where id = %s"
            self.side.sql(query, [value, ref.session_id])

    def failed(self, channel: Channel, *, refunded: int | None = 1, **columns: Any) -> SessionRef:
        """A session that we failed; `refunded` is the amount in the ledger, None when there is no refund."""
        said: dict[str, Any] = {
            "error_message": INTERNAL_MESSAGE,
            "completed_at": AN_HOUR_AGO + timedelta(minutes=1),
        } | columns
        ref = self.session(channel, Status.FAILED, **said)
        if refunded is not None:
            self.refund(ref, amount=refunded)
        return ref

    async def completed(self, channel: Channel, **columns: Any) -> SessionRef:
        """A session whose picture is in Storage, and whose cost is in its history."""
        done = AN_HOUR_AGO + timedelta(minutes=1)
        ref = self.session(channel, Status.COMPLETED, completed_at=done, **{"estimated_cost_usd": str(COST)} | columns)
        await self.side.platform.store_picture(ref, b"\xff\xd8 a picture \xff\xd9")
        await self.write_history(ref)
        await self.write_line(ref)
        return ref

    def delete(self, ref: SessionRef) -> None:
        """Delete the session's row."""
        self.side.sql(f"delete from {SESSION_TABLES[ref.channel].name} where id = %s", [ref.session_id])

    def refund(self, ref: SessionRef, *, amount: int = 1, owner_id: str | None = None) -> None:
        """A refund in the ledger."""
        owner, text = owner_id or ref.owner_id, refund_description(ref)
        if ref.channel is Channel.B2C:
            self.side.write_user_ledger(owner, "refund", text, amount=amount)
        else:
            self.side.write_store_ledger(owner, self.side.row(ref)["request_id"], "refund", text, amount=amount)

    def refunds(self, ref: SessionRef) -> int:
        """How many refunds the owner has."""
        both = self.side.user_refunds if ref.channel is Channel.B2C else self.side.store_refunds
        return len(both(ref.owner_id))

    def balance(self, ref: SessionRef) -> int:
        """The owner's credits."""
        both = self.side.user_balance if ref.channel is Channel.B2C else self.side.store_balance
        return both(ref.owner_id)

    async def write_line(
        self, ref: SessionRef, *, status: str = "completed", cost: Decimal | None = COST, at: datetime | None = None
    ) -> None:
        """The session's line in the list that the history keeps."""
        self._lines += 1
        at = at or AN_HOUR_AGO + timedelta(microseconds=self._lines)  # no two have ended at one moment
        line = SessionLine(
            session_id=ref.session_id,
            at=at,
            owner_id=ref.owner_id,
            channel=ref.channel.value,
            status=status,
            cost_usd=cost,
        )
        await untyped(self.redis).hset(keys.SESSION_LINES, ref.session_id, line.kept())
        await self.redis.zadd(keys.SESSIONS, {ref.session_id: round(at.timestamp() * 1e6)})

    async def write_history(
        self, ref: SessionRef, *, outcome: Outcome = Outcome.COMPLETED, cost: Decimal = COST, calls: int = 1
    ) -> None:
        """An attempt, as the history keeps it."""
        steps = [Step(StepName.GENERATE, AN_HOUR_AGO, 30.0, ok=True)] * calls
        entry = RunEntry(at=AN_HOUR_AGO, began_at=AN_HOUR_AGO, outcome=outcome, steps=steps, cost_usd=cost)
        await untyped(self.redis).rpush(keys.JOURNAL + ref.session_id, entry.model_dump_json(exclude_none=True))
