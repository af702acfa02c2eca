"""The SQL functions that give credits back: their arguments, and the optional one that fails a session with it.

`fail_and_refund_session` is the operator's to install (deploy/supabase/). Without it PostgREST answers PGRST202. The
same answer comes from a stale schema cache, so a project that has had the function is believed to have it still.
"""

import time
from collections.abc import Callable
from typing import Any

from wearon.platform.base import Refund, ShopperRefund, StoreRefund, UserRefund

FAIL_AND_REFUND = "fail_and_refund_session"
FAIL_AND_REFUND_ARGUMENTS = frozenset(
    {"p_user_id", "p_session_id", "p_error_message", "p_completed_at", "p_description"}
)

NO_SUCH_FUNCTION = "PGRST202"

ABSENT_FOR_S = 300.0
"""How long an absence is remembered: an operator who installs the function need not restart the workers."""

BELIEVED_FOR_S = 900.0
"""How long a project that has had the function is believed to have it, against PGRST202: refunds are postponed then. A
schema cache is reloaded within seconds; a function that was really dropped keeps them waiting no longer than this."""


def function_call(refund: Refund) -> tuple[str, dict[str, Any]]:
    """The SQL function and its arguments, by their names: PostgREST picks the function by them."""
    match refund:
        case UserRefund():
            return "refund_credits", {
                "p_user_id": refund.user_id,
                "p_amount": refund.amount,
                "p_description": refund.description,
            }
        case StoreRefund():
            return "refund_store_credits", {
                "p_store_id": refund.store_id,
                "p_amount": refund.amount,
                "p_request_id": refund.request_id,
                "p_description": refund.description,
            }
        case ShopperRefund():
            return "refund_store_shopper_credits", {
                "p_store_id": refund.store_id,
                "p_shopper_email": refund.shopper_email,
                "p_amount": refund.amount,
                "p_request_id": refund.request_id,
                "p_description": refund.description,
            }


class OptionalFunction:
    """Remembers whether a project has an optional function."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_at: float | None = None
        self._missed_at: float | None = None

    @property
    def is_absent(self) -> bool:
        """Whether there is no use in calling it now."""
        return self._missed_at is not None and self._clock() - self._missed_at < ABSENT_FOR_S

    def seen(self) -> None:
        """Note that the function has answered."""
        self._seen_at, self._missed_at = self._clock(), None

    def missed(self) -> bool:
        """Note that PostgREST says that there is none; whether that is believed."""
        if self._seen_at is not None and self._clock() - self._seen_at < BELIEVED_FOR_S:
            return False
        self._missed_at = self._clock()
        return True
