"""Both platforms: what the ledger tells, and what the three refund functions do."""

from uuid import uuid4

import pytest

from support.platform_side import BALANCE, PlatformSide
from wearon.platform.base import (
    Channel,
    LedgerEntry,
    LedgerEntryType,
    Platform,
    PlatformRefused,
    Refund,
    Session,
    SessionRef,
    ShopperRefund,
    StoreRefund,
    UserRefund,
)

EMAIL = "anna_o'neil+shop@shopper.example"


async def session_of(platform: Platform, ref: SessionRef) -> Session:
    """Read it back."""
    session = await platform.find_session(ref.channel, ref.session_id)
    assert session is not None
    return session


class TestLedger:
    """`ledger_entries`."""

    async def test_a_stores_charge_is_the_rows_of_its_request(self, side: PlatformSide) -> None:
        ref = side.add_session(Channel.B2B, request_id="req_1")
        side.write_store_ledger(ref.owner_id, "req_1", "deduction", f"Try-on (shopper={EMAIL})")
        side.write_store_ledger(ref.owner_id, "req_1", "refund", "given back")
        side.write_store_ledger(ref.owner_id, "req_2", "deduction", "another request")
        side.write_store_ledger(str(uuid4()), "req_1", "overage", "another store")

        entries = await side.platform.ledger_entries(await session_of(side.platform, ref))

        assert set(entries) == {
            LedgerEntry(LedgerEntryType.DEDUCTION, f"Try-on (shopper={EMAIL})"),
            LedgerEntry(LedgerEntryType.REFUND, "given back"),
        }

    async def test_a_charge_in_money_is_seen(self, side: PlatformSide) -> None:
        ref = side.add_session(Channel.B2B, request_id="req_1")
        side.write_store_ledger(ref.owner_id, "req_1", "overage", None)

        entries = await side.platform.ledger_entries(await session_of(side.platform, ref))

        assert list(entries) == [LedgerEntry(LedgerEntryType.OVERAGE, "")]

    async def test_rows_that_say_nothing_about_a_charge_are_left_out(self, side: PlatformSide) -> None:
        ref = side.add_session(Channel.B2B, request_id="req_1")
        side.write_store_ledger(ref.owner_id, "req_1", "purchase", "bought")
        side.write_store_ledger(ref.owner_id, "req_1", "subscription", "renewed")

        assert list(await side.platform.ledger_entries(await session_of(side.platform, ref))) == []

    async def test_a_store_session_without_a_request_has_no_ledger(self, side: PlatformSide) -> None:
        ref = side.add_session(Channel.B2B, request_id=None)
        side.write_store_ledger(ref.owner_id, "req_1", "deduction", "of another")

        assert list(await side.platform.ledger_entries(await session_of(side.platform, ref))) == []

    @pytest.mark.parametrize("request_id", ["req_%", "req.1,(2)", 'req "x"', "req_&type=eq.refund", "req_ä*"])
    async def test_a_request_id_is_taken_literally(self, side: PlatformSide, request_id: str) -> None:
        ref = side.add_session(Channel.B2B, request_id=request_id)
        side.write_store_ledger(ref.owner_id, request_id, "deduction", "this one")
        side.write_store_ledger(ref.owner_id, "req_other", "deduction", "not this one")

        entries = await side.platform.ledger_entries(await session_of(side.platform, ref))

        assert [entry.description for entry in entries] == ["this one"]

    async def test_a_users_refunds_are_known_by_the_session_in_their_description(self, side: PlatformSide) -> None:
        ref = side.add_session(Channel.B2C)
        side.write_user_ledger(ref.owner_id, "refund", f"Timed out: session {ref.session_id} (cron)")
        side.write_user_ledger(ref.owner_id, "refund", f"Another session, {uuid4()}")
        side.write_user_ledger(ref.owner_id, "refund", None)
        side.write_user_ledger(ref.owner_id, "deduction", f"Session {ref.session_id}")
        side.write_user_ledger(str(uuid4()), "refund", f"Another user, {ref.session_id}")

        entries = await side.platform.ledger_entries(await session_of(side.platform, ref))

        assert list(entries) == [LedgerEntry(LedgerEntryType.REFUND, f"Timed out: session {ref.session_id} (cron)")]


class TestRefunds:
    """`give_back`."""

    async def test_a_store_gets_back_what_it_paid_once(self, side: PlatformSide) -> None:
        store_id = side.add_store(EMAIL)
        refund = StoreRefund(store_id, 2, "req_1", "Generation failed")

        assert await side.platform.give_back(refund)
        assert not await side.platform.give_back(refund)

        assert side.store_balance(store_id) == BALANCE + 2
        assert side.shopper_balance(store_id, EMAIL) == BALANCE
        assert side.store_refunds(store_id) == [("req_1", 2, "Generation failed")]

    async def test_a_shopper_gets_back_what_they_paid_once(self, side: PlatformSide) -> None:
        store_id = side.add_store(EMAIL)
        refund = ShopperRefund(store_id, EMAIL, 1, "req_1", "Generation failed")

        assert await side.platform.give_back(refund)
        assert not await side.platform.give_back(refund)

        assert side.shopper_balance(store_id, EMAIL) == BALANCE + 1
        assert side.store_balance(store_id) == BALANCE
        assert side.store_refunds(store_id) == [("req_1", 1, "Generation failed")]

    async def test_a_request_is_refunded_to_the_store_or_to_the_shopper_not_to_both(self, side: PlatformSide) -> None:
        store_id = side.add_store(EMAIL)

        assert await side.platform.give_back(ShopperRefund(store_id, EMAIL, 1, "req_1", "x"))
        assert not await side.platform.give_back(StoreRefund(store_id, 1, "req_1", "x"))

        assert side.store_balance(store_id) == BALANCE

    async def test_two_requests_of_a_store_are_two_refunds(self, side: PlatformSide) -> None:
        store_id = side.add_store()

        for request_id in ("req_1", "req_2"):
            assert await side.platform.give_back(StoreRefund(store_id, 1, request_id, "x"))

        assert side.store_balance(store_id) == BALANCE + 2

    async def test_a_user_is_paid_again_for_every_call(self, side: PlatformSide) -> None:
        user_id = side.add_user()
        refund = UserRefund(user_id, 1, "Generation failed")

        assert await side.platform.give_back(refund)
        assert await side.platform.give_back(refund)

        assert side.user_balance(user_id) == BALANCE + 2
        assert side.user_refunds(user_id) == [(1, "Generation failed")] * 2

    async def test_a_refund_is_in_the_ledger_that_is_looked_at_first(self, side: PlatformSide) -> None:
        user_id = side.add_user()
        ref = side.add_session(Channel.B2C, owner_id=user_id)
        await side.platform.give_back(UserRefund(user_id, 1, f"Generation failed (session {ref.session_id})"))

        entries = await side.platform.ledger_entries(await session_of(side.platform, ref))

        assert [entry.type for entry in entries] == [LedgerEntryType.REFUND]

    @pytest.mark.parametrize(
        "refund",
        [
            UserRefund(str(uuid4()), 1, "x"),
            StoreRefund(str(uuid4()), 1, "req_1", "x"),
            ShopperRefund(str(uuid4()), EMAIL, 1, "req_1", "x"),
        ],
        ids=lambda refund: type(refund).__name__,
    )
    async def test_nobody_to_pay_is_refused_and_leaves_no_trace(self, side: PlatformSide, refund: Refund) -> None:
        with pytest.raises(PlatformRefused) as refused:
            await side.platform.give_back(refund)

        assert EMAIL not in str(refused.value)
        assert "shopper.example" not in str(refused.value)
        assert side.sql("select * from credit_transactions") == []
        assert side.sql("select * from store_credit_transactions") == []

    async def test_what_the_accounts_do_not_allow_is_refused_whole(self, side: PlatformSide) -> None:
        user_id = side.add_user()

        with pytest.raises(PlatformRefused):
            await side.platform.give_back(UserRefund(user_id, -BALANCE - 1, "below nothing"))

        assert side.user_balance(user_id) == BALANCE
        assert side.user_refunds(user_id) == []
