"""The status machine of a session, once for both platforms: from where it may move, and what is written then."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from wearon.platform.base import Completion, SessionRef, Status
from wearon.platform.session_rows import SESSION_TABLES, timestamp

COST_STEP = Decimal("0.000001")
"""The column is numeric(10, 6)."""


class SessionMoves(ABC):
    """Four of the moves of `Platform`; a platform only has to know how to change a row conditionally."""

    async def start_session(self, ref: SessionRef) -> bool:
        return await self._move(ref, SESSION_TABLES[ref.channel].open_statuses, {"status": Status.PROCESSING})

    async def requeue_session(self, ref: SessionRef) -> bool:
        return await self._move(ref, (Status.PROCESSING,), {"status": Status.QUEUED})

    async def complete_session(self, ref: SessionRef, completion: Completion) -> bool:
        cost = completion.estimated_cost_usd
        changes = {
            "status": Status.COMPLETED,
            "generated_image_url": completion.generated_image_url,
            "processing_time_ms": completion.processing_time_ms,
            "input_tokens": completion.input_tokens,
            "output_tokens": completion.output_tokens,
            # As text: a float would not be exact.
            "estimated_cost_usd": None if cost is None else str(cost.quantize(COST_STEP)),
            "completed_at": timestamp(completion.completed_at),
        }
        return await self._move(ref, (Status.PROCESSING,), changes)

    async def fail_session(self, ref: SessionRef, error_message: str, completed_at: datetime) -> bool:
        changes = {
            "status": Status.FAILED,
            "error_message": error_message,
            "completed_at": timestamp(completed_at),
        }
        return await self._move(ref, SESSION_TABLES[ref.channel].open_statuses, changes)

    @abstractmethod
    async def _move(self, ref: SessionRef, allowed: Sequence[Status], changes: Mapping[str, Any]) -> bool:
        """Write `changes` into the owner's row if its status is one of `allowed`; whether there was such a row."""
