"""Supabase away, slow, or silent after it has committed: never a wrong answer, never a second request unasked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from support.gateway import Do, Fault, Response
from support.observers import platform_observers
from support.platform_side import BALANCE, SupabaseSide
from support.postgrest import Supabase
from wearon.platform.base import (
    OPEN_STATUSES,
    Channel,
    Completion,
    Platform,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.platform.supabase import SupabasePlatform

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
REF = SessionRef(Channel.B2C, str(uuid4()), str(uuid4()))
EMAIL = "anna@shopper.example"
HTML = Response(200, b"<html>Be right back</html>", {"Content-Type": "text/html"})

CALLS: dict[str, Callable[[Platform], Awaitable[object]]] = {
    "find_session": lambda platform: platform.find_session(REF.channel, REF.session_id),
    "start_session": lambda platform: platform.start_session(REF),
    "requeue_session": lambda platform: platform.requeue_session(REF),
    "complete_session": lambda platform: platform.complete_session(
        REF, Completion("https://x.example/p", 1, None, None, None, NOW)
    ),
    "fail_session": lambda platform: platform.fail_session(REF, "x", NOW),
    "list_sessions": lambda platform: platform.list_sessions(Channel.B2C, OPEN_STATUSES, NOW, 10),
    "give_back user": lambda platform: platform.give_back(UserRefund(REF.owner_id, 1, "x")),
    "give_back store": lambda platform: platform.give_back(StoreRefund(REF.owner_id, 1, "req_1", "x")),
    "give_back shopper": lambda platform: platform.give_back(ShopperRefund(REF.owner_id, EMAIL, 1, "req_1", "x")),
    "store_picture": lambda platform: platform.store_picture(REF, b"\xff\xd8\xff"),
    "has_picture": lambda platform: platform.has_picture(REF),
    "sign_picture": lambda platform: platform.sign_picture(REF),
    "check": lambda platform: platform.check(),
}


@pytest.fixture
async def hasty(supabase: Supabase) -> AsyncIterator[SupabasePlatform]:
    """A platform that waits for an answer no longer than half a second."""
    platform = await SupabasePlatform.connect(
        supabase.url, supabase.service_role_key, **platform_observers(), rest_seconds=0.5, storage_seconds=0.5
    )
    yield platform
    await platform.aclose()


class TestEveryCall:
    """Whatever is asked, each failure becomes the same error, after one request."""

    @pytest.fixture(params=list(CALLS))
    def call(self, request: pytest.FixtureRequest) -> Callable[[Platform], Awaitable[object]]:
        return CALLS[str(request.param)]

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("", Do.LOSE_REQUEST),
            Fault("", Do.LOSE_ANSWER),
            Fault("", Do.ANSWER, Response(500)),
            Fault("", Do.ANSWER, Response(503, b'{"code": "PGRST002", "message": "no schema cache"}')),
            Fault("", Do.ANSWER, Response(429, b'{"message": "slow down"}')),
            Fault("", Do.ANSWER, Response(302, b"", {"Location": "https://elsewhere.example/"})),
            Fault("", Do.ANSWER, HTML),
            # What Storage says when its database is full.
            Fault("", Do.ANSWER, Response(400, b'{"statusCode": "503", "error": "x", "message": "too many"}')),
        ],
        ids=["request lost", "answer lost", "500", "503", "429", "302", "html", "400 that means 503"],
    )
    async def test_no_usable_answer_is_unavailable(
        self, supabase_side: SupabaseSide, call: Callable[[Platform], Awaitable[object]], fault: Fault
    ) -> None:
        gateway = supabase_side.supabase.gateway
        gateway.add(Fault(fault.pattern, fault.do, fault.response, times=None))

        with pytest.raises(PlatformUnavailable):
            await call(supabase_side.platform)

        assert len(gateway.exchanges) == 1, "it was asked again behind our back"

    async def test_no_answer_in_time_is_unavailable(
        self, supabase: Supabase, hasty: SupabasePlatform, call: Callable[[Platform], Awaitable[object]]
    ) -> None:
        fault = supabase.gateway.add(Fault("", times=None, hold_request=True))

        with pytest.raises(PlatformUnavailable, match="no answer within"):
            await call(hasty)

        assert fault.hits == 1

    async def test_a_definite_no_is_refused(
        self, supabase_side: SupabaseSide, call: Callable[[Platform], Awaitable[object]]
    ) -> None:
        answer = Response(403, b'{"code": "42501", "message": "permission denied"}')
        supabase_side.supabase.gateway.add(Fault("", Do.ANSWER, answer, times=None))

        with pytest.raises(PlatformRefused, match="42501"):
            await call(supabase_side.platform)

    async def test_a_wrong_key_is_refused_and_not_shown(
        self, supabase: Supabase, call: Callable[[Platform], Awaitable[object]]
    ) -> None:
        wrong = supabase.service_role_key[:-4] + "AAAA"
        platform = await SupabasePlatform.connect(supabase.url, wrong, **platform_observers())

        with pytest.raises(PlatformRefused) as refused:
            await call(platform)
        await platform.aclose()

        assert wrong not in str(refused.value)

    async def test_nobody_there_is_unavailable_until_somebody_is(
        self, supabase_side: SupabaseSide, call: Callable[[Platform], Awaitable[object]]
    ) -> None:
        supabase_side.supabase.gateway.stop()
        try:
            with pytest.raises(PlatformUnavailable, match="ConnectError"):
                await call(supabase_side.platform)
        finally:
            supabase_side.supabase.gateway.start()

        await supabase_side.platform.check()


class TestCommittedThenSilent:
    """The answer was lost after the change was made: the second look finds it."""

    async def test_a_start(self, supabase_side: SupabaseSide) -> None:
        ref = supabase_side.add_session(Channel.B2B)
        supabase_side.supabase.gateway.add(Fault("^PATCH", Do.LOSE_ANSWER))

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.start_session(ref)

        assert supabase_side.status(ref) == Status.PROCESSING
        assert await supabase_side.platform.start_session(ref), "processing may be started again"

    async def test_a_completion_is_recognised(self, supabase_side: SupabaseSide) -> None:
        ref = supabase_side.add_session(Channel.B2C, Status.PROCESSING)
        supabase_side.supabase.gateway.add(Fault("^PATCH", Do.LOSE_ANSWER))
        completion = Completion("https://x.example/p", 1, None, None, None, NOW)

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.complete_session(ref, completion)

        assert not await supabase_side.platform.complete_session(ref, completion)
        session = await supabase_side.platform.find_session(ref.channel, ref.session_id)
        assert session is not None
        assert (session.status, session.completed_at) == (Status.COMPLETED, NOW)

    async def test_a_failure_is_recognised_by_its_stamp(self, supabase_side: SupabaseSide) -> None:
        ref = supabase_side.add_session(Channel.B2C, Status.PROCESSING)
        supabase_side.supabase.gateway.add(Fault("^PATCH", Do.LOSE_ANSWER))

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.fail_session(ref, "x", NOW)

        assert not await supabase_side.platform.fail_session(ref, "x", NOW)
        session = await supabase_side.platform.find_session(ref.channel, ref.session_id)
        assert session is not None
        assert session.completed_at == NOW

    async def test_a_stores_refund_is_not_paid_again(self, supabase_side: SupabaseSide) -> None:
        store_id = supabase_side.add_store()
        supabase_side.supabase.gateway.add(Fault("/rpc/", Do.LOSE_ANSWER))
        refund = StoreRefund(store_id, 1, "req_1", "x")

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.give_back(refund)

        assert not await supabase_side.platform.give_back(refund)
        assert supabase_side.store_balance(store_id) == BALANCE + 1

    async def test_a_users_refund_shows_in_the_ledger(self, supabase_side: SupabaseSide) -> None:
        user_id = supabase_side.add_user()
        ref = supabase_side.add_session(Channel.B2C, owner_id=user_id)
        session = await supabase_side.platform.find_session(ref.channel, ref.session_id)
        assert session is not None
        supabase_side.supabase.gateway.add(Fault("/rpc/", Do.LOSE_ANSWER))

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.give_back(UserRefund(user_id, 1, f"session {ref.session_id}"))

        assert len(await supabase_side.platform.ledger_entries(session)) == 1
        assert supabase_side.user_balance(user_id) == BALANCE + 1

    async def test_an_upload_is_found(self, supabase_side: SupabaseSide) -> None:
        supabase_side.supabase.gateway.add(Fault("^POST /storage", Do.LOSE_ANSWER))

        with pytest.raises(PlatformUnavailable):
            await supabase_side.platform.store_picture(REF, b"\xff\xd8\xff")

        assert await supabase_side.platform.has_picture(REF)

    async def test_a_request_that_was_given_up_may_still_be_carried_out(
        self, supabase_side: SupabaseSide, hasty: SupabasePlatform
    ) -> None:
        ref = supabase_side.add_session(Channel.B2C)
        gateway = supabase_side.supabase.gateway
        fault = gateway.add(Fault("^PATCH", hold_request=True))

        with pytest.raises(PlatformUnavailable):
            await hasty.start_session(ref)
        assert supabase_side.status(ref) == Status.QUEUED
        fault.release()
        assert await asyncio.to_thread(gateway.wait_for, "^PATCH")

        assert supabase_side.status(ref) == Status.PROCESSING


async def test_a_function_that_is_not_there_is_named(supabase_side: SupabaseSide) -> None:
    missing = Response(404, b'{"code": "PGRST202", "message": "Could not find the function public.x(p_a)"}')
    supabase_side.supabase.gateway.add(Fault("/rpc/", Do.ANSWER, missing))

    with pytest.raises(PlatformRefused, match=r"refund_credits.*PGRST202"):
        await supabase_side.platform.give_back(UserRefund(str(uuid4()), 1, "x"))


async def test_postgrest_knows_functions_by_their_arguments(supabase_side: SupabaseSide) -> None:
    """What the contract warns of: `refund_credits` with a store's arguments is no function at all."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{supabase_side.supabase.url}/rest/v1/rpc/refund_credits",
            json={"p_store_id": str(uuid4()), "p_amount": 1, "p_description": "x"},
            headers={"apikey": supabase_side.supabase.service_role_key},
        )

    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST202")


async def test_a_missing_bucket_is_not_taken_for_a_missing_picture(supabase_side: SupabaseSide) -> None:
    answer = Response(400, b'{"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}')
    supabase_side.supabase.gateway.add(Fault("/object/info/", Do.ANSWER, answer))

    with pytest.raises(PlatformRefused):
        await supabase_side.platform.has_picture(REF)


async def test_no_route_to_storage_is_not_taken_for_a_missing_picture(supabase_side: SupabaseSide) -> None:
    supabase_side.supabase.gateway.add(Fault("/object/info/", Do.ANSWER, Response(404, b"no such host")))

    with pytest.raises(PlatformRefused):
        await supabase_side.platform.has_picture(REF)


async def test_many_questions_at_once_share_a_few_connections(supabase: Supabase) -> None:
    platform = await SupabasePlatform.connect(
        supabase.url, supabase.service_role_key, **platform_observers(), max_connections=4
    )
    side = SupabaseSide(supabase, platform)
    refs = [side.add_session(Channel.B2B) for _ in range(40)]

    assert all(await asyncio.gather(*(platform.start_session(ref) for ref in refs)))
    assert len(supabase.gateway.connections) <= 4

    await platform.aclose()


async def test_of_many_who_fail_a_session_one_owns_the_refund(supabase_side: SupabaseSide) -> None:
    ref = supabase_side.add_session(Channel.B2C, Status.PROCESSING)

    owned = await asyncio.gather(
        *(supabase_side.platform.fail_session(ref, f"by {number}", NOW) for number in range(20))
    )

    assert sum(owned) == 1
