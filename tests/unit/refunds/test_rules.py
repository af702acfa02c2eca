"""Which credit goes back, for every way a generation can have been charged."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from wearon.platform.base import (
    Channel,
    LedgerEntry,
    LedgerEntryType,
    Session,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.refunds.rules import NothingOwed, ReviewNeeded, Verdict, what_is_owed

OWNER = "6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10"
SESSION = "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11"
ABOUT = f"Refund: generation failed (session {SESSION})"

REFUND = LedgerEntry(LedgerEntryType.REFUND, "Refund")
OVERAGE = LedgerEntry(LedgerEntryType.OVERAGE, "Overage (shopper=ann@example.com)")


def deduction(description: str = "Try-on") -> LedgerEntry:
    return LedgerEntry(LedgerEntryType.DEDUCTION, description)


def session(channel: Channel, *, credits_used: int = 1, request_id: str | None = "req_1") -> Session:
    return Session(
        ref=SessionRef(channel, OWNER, SESSION),
        status=Status.FAILED,
        credits_used=credits_used,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        request_id=request_id if channel is Channel.B2B else None,
    )


B2C, B2B = session(Channel.B2C), session(Channel.B2B)
TO_THE_USER = UserRefund(OWNER, 1, ABOUT)
TO_THE_STORE = StoreRefund(OWNER, 1, "req_1", ABOUT)


def to_shopper(email: str) -> ShopperRefund:
    return ShopperRefund(OWNER, email, 1, "req_1", ABOUT)


UNREADABLE = ReviewNeeded("the deduction names a shopper in a way that cannot be read")
DONE = NothingOwed("the refund is in the ledger already", already_refunded=True)
NO_DEDUCTION = ReviewNeeded("the ledger has no deduction for it")
IN_MONEY = ReviewNeeded("charged in money as an overage")
NO_REQUEST = ReviewNeeded("the session has no request_id, so its charge cannot be found in the ledger")

CASES: dict[str, tuple[Session, Sequence[LedgerEntry], Verdict]] = {
    "user": (B2C, [], TO_THE_USER),
    "user who paid two": (session(Channel.B2C, credits_used=2), [], UserRefund(OWNER, 2, ABOUT)),
    "user who paid none": (session(Channel.B2C, credits_used=0), [], NothingOwed("credits_used is 0")),
    "user refunded by the cron": (B2C, [REFUND], DONE),
    "store": (B2B, [deduction()], TO_THE_STORE),
    "store that paid two": (
        session(Channel.B2B, credits_used=2),
        [deduction()],
        StoreRefund(OWNER, 2, "req_1", ABOUT),
    ),
    "store that paid none": (session(Channel.B2B, credits_used=0), [deduction()], NothingOwed("credits_used is 0")),
    "store without a description": (B2B, [deduction("")], TO_THE_STORE),
    "store with a shopper's name, but no payment of hers": (
        B2B,
        [deduction("Try-on for ann@example.com")],
        TO_THE_STORE,
    ),
    "store refunded already": (B2B, [deduction(), REFUND], DONE),
    "refund before the deduction": (B2B, [REFUND, deduction()], DONE),
    "shopper": (B2B, [deduction("Try-on (shopper=ann@example.com)")], to_shopper("ann@example.com")),
    "shopper with a space behind": (
        B2B,
        [deduction("Try-on (shopper=ann@example.com) ")],
        to_shopper("ann@example.com"),
    ),
    "shopper with a plus": (B2B, [deduction("(shopper=a.b+c@x.co)")], to_shopper("a.b+c@x.co")),
    "shopper with brackets": (B2B, [deduction("Try-on (shopper=ann(home)@x.co)")], to_shopper("ann(home)@x.co")),
    "shopper after another bracket": (B2B, [deduction("Try-on (red) (shopper=ann@x.co)")], to_shopper("ann@x.co")),
    "shopper refunded already": (B2B, [deduction("Try-on (shopper=ann@x.co)"), REFUND], DONE),
    "shopper without a name": (B2B, [deduction("Try-on (shopper=)")], UNREADABLE),
    "shopper in the middle": (B2B, [deduction("Try-on (shopper=ann@x.co) of today")], UNREADABLE),
    "overage only": (B2B, [OVERAGE], IN_MONEY),
    "overage and deduction": (B2B, [OVERAGE, deduction()], TO_THE_STORE),
    "overage refunded by hand": (B2B, [OVERAGE, REFUND], DONE),
    "nothing in the ledger": (B2B, [], NO_DEDUCTION),
    "store session without a request": (session(Channel.B2B, request_id=None), [], NO_REQUEST),
}


@pytest.mark.parametrize(("charged", "entries", "verdict"), list(CASES.values()), ids=list(CASES))
def test_what_goes_back_to_whom(charged: Session, entries: Sequence[LedgerEntry], verdict: Verdict) -> None:
    assert what_is_owed(charged, entries) == verdict
