"""The operator's optional SQL function, on the real PostgREST: one transaction, once for each session."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from support.gateway import JSON, Do, Fault, Response
from support.platform_side import BALANCE, SupabaseSide
from support.postgrest import FAIL_AND_REFUND, Supabase, fail_and_refund_installed
from wearon.platform.base import Channel, PlatformRefused, PlatformUnavailable, RefundedAtOnce, SessionRef, Status
from wearon.platform.supabase_functions import ABSENT_FOR_S, BELIEVED_FOR_S, OptionalFunction

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MESSAGE = "Internal error during generation"
NO_SUCH_FUNCTION = Response(404, b'{"code": "PGRST202", "message": "Could not find the function"}', JSON)


@pytest.fixture
def installed(supabase: Supabase) -> Iterator[None]:
    with fail_and_refund_installed(supabase):
        yield


def sold(side: SupabaseSide, status: Status = Status.PROCESSING, credits_used: int = 2) -> SessionRef:
    """A session of a user who has an account."""
    return side.add_session(Channel.B2C, status, owner_id=side.add_user(), credits_used=credits_used)


async def fail(side: SupabaseSide, ref: SessionRef, at: datetime = NOW) -> RefundedAtOnce | None:
    return await side.platform.fail_and_refund(ref, MESSAGE, at, f"Refund: session {ref.session_id}")


@pytest.mark.usefixtures("installed")
class TestInstalled:
    @pytest.mark.parametrize("status", [Status.QUEUED, Status.PENDING, Status.PROCESSING])
    async def test_it_fails_an_open_session_and_gives_its_credits_back(
        self, supabase_side: SupabaseSide, status: Status
    ) -> None:
        ref = sold(supabase_side, status)
        assert await fail(supabase_side, ref) is RefundedAtOnce.REFUNDED
        row = supabase_side.row(ref)
        assert (row["status"], row["error_message"], row["completed_at"]) == ("failed", MESSAGE, NOW)
        assert supabase_side.user_balance(ref.owner_id) == BALANCE + 2
        assert supabase_side.user_refunds(ref.owner_id) == [(2, f"Refund: session {ref.session_id}")]

    async def test_of_many_calls_at_once_one_pays(self, supabase_side: SupabaseSide) -> None:
        ref = sold(supabase_side)
        found = await asyncio.gather(*(fail(supabase_side, ref) for _ in range(20)))
        assert found.count(RefundedAtOnce.REFUNDED) == 1
        assert found.count(RefundedAtOnce.ALREADY_REFUNDED) == 19
        assert supabase_side.user_balance(ref.owner_id) == BALANCE + 2

    async def test_what_the_two_steps_have_begun_is_finished_once(self, supabase_side: SupabaseSide) -> None:
        ref = sold(supabase_side)
        assert await supabase_side.platform.fail_session(ref, MESSAGE, NOW)
        assert await fail(supabase_side, ref) is RefundedAtOnce.REFUNDED
        assert await fail(supabase_side, ref) is RefundedAtOnce.ALREADY_REFUNDED
        assert supabase_side.user_balance(ref.owner_id) == BALANCE + 2

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
    async def test_a_session_that_somebody_else_has_ended_is_left_alone(
        self, supabase_side: SupabaseSide, status: Status
    ) -> None:
        ref = sold(supabase_side)
        other = NOW - timedelta(microseconds=1)
        supabase_side.sql(
            "update generation_sessions set status = %s, completed_at = %s where id = %s",
            [status.value, other, ref.session_id],
        )
        assert await fail(supabase_side, ref) is RefundedAtOnce.ENDED_ELSEWHERE
        assert supabase_side.row(ref)["completed_at"] == other
        assert supabase_side.user_balance(ref.owner_id) == BALANCE

    async def test_a_session_of_another_user_is_none(self, supabase_side: SupabaseSide) -> None:
        ref = sold(supabase_side)
        forged = SessionRef(Channel.B2C, supabase_side.add_user(), ref.session_id)
        assert await fail(supabase_side, forged) is RefundedAtOnce.NO_SESSION
        assert supabase_side.status(ref) == "processing"

    async def test_what_cost_nothing_is_failed_and_gives_nothing_back(self, supabase_side: SupabaseSide) -> None:
        ref = sold(supabase_side, credits_used=0)
        assert await fail(supabase_side, ref) is RefundedAtOnce.NOTHING_OWED
        assert supabase_side.status(ref) == "failed"
        assert supabase_side.user_refunds(ref.owner_id) == []

    async def test_a_refund_that_cannot_be_made_fails_nobody(self, supabase_side: SupabaseSide) -> None:
        ref = supabase_side.add_session(Channel.B2C, Status.PROCESSING, owner_id=str(uuid4()))  # without an account
        with pytest.raises(PlatformRefused, match="P0001"):
            await fail(supabase_side, ref)
        assert supabase_side.status(ref) == "processing", "both or neither"

    async def test_a_lost_answer_is_found_by_the_next_call(self, supabase_side: SupabaseSide) -> None:
        ref = sold(supabase_side)
        supabase_side.supabase.gateway.add(Fault("/rpc/", Do.LOSE_ANSWER))
        with pytest.raises(PlatformUnavailable):
            await fail(supabase_side, ref)
        assert await fail(supabase_side, ref) is RefundedAtOnce.ALREADY_REFUNDED
        assert supabase_side.user_balance(ref.owner_id) == BALANCE + 2

    async def test_a_stale_schema_cache_is_not_taken_for_an_absence(self, supabase_side: SupabaseSide) -> None:
        assert await fail(supabase_side, sold(supabase_side)) is RefundedAtOnce.REFUNDED
        supabase_side.supabase.gateway.add(Fault("/rpc/", Do.ANSWER, NO_SUCH_FUNCTION))
        ref = sold(supabase_side)
        with pytest.raises(PlatformRefused, match="PGRST202"):
            await fail(supabase_side, ref)
        assert await fail(supabase_side, ref) is RefundedAtOnce.REFUNDED

    async def test_shoppers_may_not_call_it(self, supabase: Supabase) -> None:
        signature = "fail_and_refund_session(uuid, uuid, text, timestamptz, text)"
        (may,) = supabase.sql(
            "select has_function_privilege('anon', %s, 'execute') as anon,"
            " has_function_privilege('service_role', %s, 'execute') as worker",
            [signature, signature],
        )
        assert may == {"anon": False, "worker": True}

    async def test_installing_it_again_changes_nothing(self, supabase_side: SupabaseSide) -> None:
        supabase_side.supabase.database.execute(FAIL_AND_REFUND.read_bytes())
        assert await fail(supabase_side, sold(supabase_side)) is RefundedAtOnce.REFUNDED


async def test_where_it_is_not_it_is_asked_for_once(supabase_side: SupabaseSide) -> None:
    for _ in range(3):
        assert await fail(supabase_side, sold(supabase_side)) is None
    assert supabase_side.supabase.gateway.count("/rpc/fail_and_refund_session") == 1


def test_an_absence_is_forgotten_and_a_presence_believed_for_a_while() -> None:
    now = 0.0
    function = OptionalFunction(lambda: now)
    found = [function.is_absent, function.missed(), function.is_absent]
    now += ABSENT_FOR_S
    found.append(function.is_absent)
    assert found == [False, True, True, False], "an operator may have installed it"
    function.seen()
    now += BELIEVED_FOR_S - 1
    assert not function.missed(), "a schema cache is stale"
    now += 1
    assert function.missed(), "it was dropped"
