"""What Supabase refuses: told for `/health` until it is granted, and nothing paid that could not be stored."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from support.gateway import JSON, Do, Fault, Response
from support.observers import observers, platform_observers
from support.platform_side import SupabaseSide
from support.postgrest import Supabase
from wearon.dependencies import Dependencies
from wearon.platform import supabase_attempts, supabase_pictures
from wearon.platform.base import (
    About,
    BucketRefused,
    Channel,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
    UserRefund,
)
from wearon.platform.supabase import SupabasePlatform

pytestmark = pytest.mark.slow

REF = SessionRef(Channel.B2C, str(uuid4()), str(uuid4()))
JPEG = b"\xff\xd8\xff jpeg \xff\xd9"
CLOCK_SKEW = Response(401, b'{"code": "PGRST303", "message": "JWT issued at future"}', JSON)
NO_RIGHT = Response(400, b'{"statusCode": "403", "code": "AccessDenied", "message": "x"}', JSON)
HTML = Response(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})


@pytest.fixture
def dependencies() -> Dependencies:
    return Dependencies()


@pytest.fixture
async def side(supabase: Supabase, dependencies: Dependencies) -> AsyncIterator[SupabaseSide]:
    platform = await SupabasePlatform.connect(
        supabase.url, supabase.service_role_key, dependencies=dependencies, **observers()
    )
    yield SupabaseSide(supabase, platform)
    await platform.aclose()


def words(dependencies: Dependencies) -> list[str]:
    return [refusal.words for refusal in dependencies.refusals]


async def test_a_refused_key_is_told_until_it_is_taken(side: SupabaseSide, dependencies: Dependencies) -> None:
    side.supabase.gateway.add(Fault(" /rest/v1/", Do.ANSWER, CLOCK_SKEW))
    with pytest.raises(PlatformRefused):
        await side.platform.start_session(REF)
    assert words(dependencies) == ["Supabase refuses our key (401 PGRST303)"]
    await side.platform.start_session(REF)
    assert words(dependencies) == []


async def test_a_page_of_a_gateway_is_told_though_it_has_no_code(
    side: SupabaseSide, dependencies: Dependencies
) -> None:
    page = Response(403, b"<html>Just a moment...</html>", {"Content-Type": "text/html"})
    side.supabase.gateway.add(Fault("", Do.ANSWER, page))
    with pytest.raises(PlatformRefused):
        await side.platform.start_session(REF)
    assert words(dependencies) == ["Supabase gives us no right to do what we must (403)"]


async def test_a_right_that_is_refused_is_not_hidden_by_one_that_is_granted(
    side: SupabaseSide, dependencies: Dependencies
) -> None:
    ref = side.add_session(Channel.B2C)
    side.sql("revoke update on generation_sessions from service_role")
    try:
        with pytest.raises(PlatformRefused):
            await side.platform.start_session(ref)
        assert await side.platform.find_session(ref.channel, ref.session_id)
        assert words(dependencies) == ["Supabase gives us no right to do what we must (403 42501)"]
    finally:
        side.sql("grant update on generation_sessions to service_role")
    assert await side.platform.start_session(ref)
    assert words(dependencies) == []


@pytest.mark.parametrize("response", [HTML, Response(502, b"<html>Bad gateway</html>"), Response(503)])
async def test_no_usable_answer_is_told_until_there_is_one(
    side: SupabaseSide, dependencies: Dependencies, response: Response
) -> None:
    side.supabase.gateway.add(Fault(" /storage/v1/", Do.ANSWER, response))
    with pytest.raises(PlatformUnavailable):
        await side.platform.store_picture(REF, JPEG)
    await side.platform.start_session(REF)  # PostgREST is well, and says nothing of Storage
    (told,) = words(dependencies)
    assert told.startswith("Supabase Storage gives no usable answer (store picture: ")
    await side.platform.store_picture(REF, JPEG)
    assert words(dependencies) == []


async def test_an_answer_that_does_not_come_is_told_before_it_is_given_up(
    side: SupabaseSide, dependencies: Dependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase_attempts, "SILENT_SECONDS", 0.05)
    held = side.supabase.gateway.add(Fault(" /rest/v1/", hold_request=True))
    waiting = asyncio.create_task(side.platform.start_session(REF))
    async with asyncio.timeout(20):
        while not dependencies.refusals:  # noqa: ASYNC110 (it is a timer that puts it there)
            await asyncio.sleep(0.01)
    assert not waiting.done()
    assert words(dependencies) == ["Supabase has not answered for 0.05 s"]
    held.release()
    await waiting
    assert words(dependencies) == []


async def test_answers_that_are_slow_again_and_again_are_told(
    side: SupabaseSide, dependencies: Dependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase_attempts, "SLOW_SECONDS", 0.0)
    seen = []
    for _ in range(3):
        await side.platform.start_session(REF)
        seen.append([told.partition(" (")[0] for told in words(dependencies)])
    assert seen == [[], [], ["Supabase answers slowly"]]
    monkeypatch.undo()
    await side.platform.start_session(REF)
    assert words(dependencies) == []


async def test_a_key_that_is_taken_again_is_seen_by_whatever_is_asked_next(
    side: SupabaseSide, dependencies: Dependencies
) -> None:
    side.supabase.gateway.add(Fault(" /rest/v1/", Do.ANSWER, CLOCK_SKEW))
    with pytest.raises(PlatformRefused):
        await side.platform.requeue_session(REF)
    await side.platform.find_session(REF.channel, REF.session_id)
    assert words(dependencies) == []


async def test_what_is_about_one_session_or_picture_is_not_told(side: SupabaseSide, dependencies: Dependencies) -> None:
    assert not await side.platform.has_picture(REF)
    with pytest.raises(PlatformRefused) as refused:
        await side.platform.sign_picture(REF)
    assert refused.value.about is About.PICTURE
    # There is no function of that name here, and there need not be.
    assert await side.platform.fail_and_refund(REF, "x", datetime.now(UTC), "x") is None
    assert words(dependencies) == []


async def test_a_refund_that_nobody_can_take_is_told(side: SupabaseSide, dependencies: Dependencies) -> None:
    with pytest.raises(PlatformRefused):
        await side.platform.give_back(UserRefund(str(uuid4()), 1, "x"))  # no such account
    assert words(dependencies) == ["Supabase refuses what we ask (400 P0001)"]


class TestBucket:
    async def test_a_sound_bucket_is_looked_at_once(self, side: SupabaseSide) -> None:
        for _ in range(3):
            await side.platform.check_bucket()
        assert side.supabase.gateway.count("GET /storage/v1/bucket/") == 1

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"file_size_limit": 1024}, "takes only 1024 bytes a picture"),
            ({"allowed_mime_types": ["image/png", "image/webp"]}, "refuses image/jpeg"),
        ],
    )
    async def test_one_that_takes_no_result_is_told_until_it_is_changed(
        self, side: SupabaseSide, dependencies: Dependencies, change: dict[str, object], why: str
    ) -> None:
        sound = dict(side.supabase.storage.bucket)
        side.supabase.storage.bucket.update(change)
        for _ in range(2):
            with pytest.raises(PlatformRefused, match=why) as refused:
                await side.platform.check_bucket()
            assert refused.value.about is About.US
            assert why in words(dependencies)[0]
        side.supabase.storage.bucket.update(sound)
        await side.platform.check_bucket()
        assert words(dependencies) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"file_size_limit": None},
            {"allowed_mime_types": None},
            {"allowed_mime_types": []},
            {"allowed_mime_types": ["image/*"]},
            {"file_size_limit": 50 * 1024 * 1024, "public": True},
        ],
    )
    async def test_one_that_takes_results_is_enough(self, side: SupabaseSide, change: dict[str, object]) -> None:
        side.supabase.storage.bucket.update(change)
        await side.platform.check_bucket()

    async def test_a_missing_one_is_told(self, side: SupabaseSide, dependencies: Dependencies) -> None:
        body = b'{"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}'
        side.supabase.gateway.add(Fault("/bucket/", Do.ANSWER, Response(400, body, JSON)))
        with pytest.raises(PlatformRefused):
            await side.platform.check_bucket()
        assert "Supabase shows us no bucket of pictures" in words(dependencies)[0]

    async def test_a_storage_that_does_not_tell_of_its_buckets_is_used(
        self, side: SupabaseSide, dependencies: Dependencies
    ) -> None:
        side.supabase.gateway.add(Fault("/bucket/", Do.ANSWER, Response(404, b'{"message": "no such route"}', JSON)))
        await side.platform.check_bucket()
        assert words(dependencies) == []

    @pytest.mark.parametrize("response", [Response(500), NO_RIGHT])
    async def test_while_uploads_fail_nothing_new_is_paid(self, side: SupabaseSide, response: Response) -> None:
        side.supabase.gateway.add(Fault("POST /storage/v1/object/", Do.ANSWER, response, times=2))
        for _ in range(2):
            with pytest.raises(PlatformError):
                await side.platform.store_picture(REF, JPEG)
            with pytest.raises(PlatformUnavailable, match="just failed to take a picture"):
                await side.platform.check_bucket()
        await side.platform.store_picture(REF, JPEG)
        await side.platform.check_bucket()

    async def test_one_that_is_gone_is_said_to_be_gone_after_an_upload_found_it(self, side: SupabaseSide) -> None:
        await side.platform.check_bucket()
        body = b'{"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}'
        side.supabase.gateway.add(Fault("/storage/v1/", Do.ANSWER, Response(400, body, JSON), times=2))
        with pytest.raises(BucketRefused):
            await side.platform.store_picture(REF, JPEG)
        with pytest.raises(PlatformRefused):
            await side.platform.check_bucket()
        await side.platform.store_picture(REF, JPEG)
        await side.platform.check_bucket()

    async def test_one_that_nobody_stores_in_any_more_is_tried_again(
        self, side: SupabaseSide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        side.supabase.gateway.add(Fault("POST /storage/v1/object/", Do.ANSWER, Response(500)))
        with pytest.raises(PlatformUnavailable):
            await side.platform.store_picture(REF, JPEG)
        monkeypatch.setattr(supabase_pictures, "NOTHING_PAID_SECONDS", 0.0)
        await side.platform.check_bucket()


async def test_an_upload_on_a_dead_connection_is_given_up_soon_and_a_slow_storage_is_given_more_time(
    supabase: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase_pictures, "FIRST_UPLOAD_SECONDS", 0.25)
    platform = await SupabasePlatform.connect(
        supabase.url, supabase.service_role_key, **platform_observers(), storage_seconds=60.0
    )
    told = []
    supabase.gateway.add(Fault("POST /storage/v1/object/", hold_request=True, times=5))
    for _ in range(5):
        with pytest.raises(PlatformUnavailable) as away:
            await platform.store_picture(REF, JPEG)
        told.append(str(away.value))
    await platform.store_picture(REF, JPEG)
    await platform.aclose()
    assert told == [
        f"store picture: no answer within {seconds} s" for seconds in ("0.25", "0.25", "0.25", "0.5", "0.75")
    ]
