"""Both platforms: folders are listed, old pictures deleted, and sessions asked for whose result is still needed."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from support.gateway import JSON, Do, Fault, Response
from support.platform_side import PlatformSide, SupabaseSide
from support.postgrest import Supabase, at_most_rows
from wearon.platform.base import DELETED_AT_ONCE, Channel, SessionRef, Status
from wearon.platform.picture_paths import ROOTS

HOUR = timedelta(hours=1)


def upload() -> str:
    return f"uploads/person-1764400000000-{uuid4()}.jpg"


async def test_a_folder_is_listed_page_by_page_the_oldest_picture_first(side: PlatformSide) -> None:
    ages = [3, 1, 5, 2, 4]
    paths = {age: side.put(upload(), age=age * HOUR) for age in ages}
    listed = [await side.platform.list_folder("uploads", 2, offset) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in listed] == [2, 2, 1, 0]
    names = [entry.name for page in listed for entry in page]
    assert names == [paths[age].removeprefix("uploads/") for age in sorted(ages, reverse=True)]
    changed_at = listed[0][0].changed_at
    assert changed_at is not None
    assert abs(datetime.now(UTC) - 5 * HOUR - changed_at) < HOUR / 2


async def test_folders_have_no_age_and_come_first(side: PlatformSide) -> None:
    side.put("generated/at-the-top.jpg", age=9 * HOUR)
    refs = [SessionRef(Channel.B2C, str(uuid4()), str(uuid4())) for _ in range(2)]
    for ref in refs:
        await side.platform.store_picture(ref, b"\xff\xd8\xff")
    first, second, third = await side.platform.list_folder("generated", 10)
    assert [first.name, second.name, third.name] == [*sorted(ref.owner_id for ref in refs), "at-the-top.jpg"]
    assert first.changed_at is second.changed_at is None
    assert third.changed_at is not None
    assert await side.platform.list_folder(f"generated/{uuid4()}", 10) == []
    assert {entry.name for entry in await side.platform.list_folder("", 10)} <= set(ROOTS)


async def test_pictures_are_deleted_and_what_is_not_there_is_passed_over(side: PlatformSide, channel: Channel) -> None:
    ref, other = (SessionRef(channel, str(uuid4()), str(uuid4())) for _ in range(2))
    for each in (ref, other):
        await side.platform.store_picture(each, b"\xff\xd8\xff")
    photo = side.put(upload())
    assert await side.platform.delete_pictures([ref.picture_path, photo, upload()]) == 2
    assert side.paths() == {other.picture_path}
    assert await side.platform.delete_pictures([ref.picture_path]) == 0
    assert not await side.platform.has_picture(ref)


async def test_the_name_of_a_folder_deletes_nothing(side: PlatformSide) -> None:
    inside = side.put(f"{SessionRef(Channel.B2C, str(uuid4()), str(uuid4())).picture_path}/garment.jpg")
    folder = inside.removesuffix("/garment.jpg")
    assert await side.platform.delete_pictures([folder]) == 0
    assert side.paths() == {inside}


async def test_no_other_path_is_deleted_nor_too_many(side: PlatformSide) -> None:
    photo = side.put(upload())
    for path in ("", "uploads", "generated/..", "../signing.key", "uploads/garment.jpg", f"generated/{uuid4()}/../x"):
        with pytest.raises(ValueError, match="not the paths"):
            await side.platform.delete_pictures([photo, path])
    with pytest.raises(ValueError, match="not the paths"):
        await side.platform.delete_pictures([photo] * (DELETED_AT_ONCE + 1))
    assert side.paths() == {photo}


async def test_results_are_needed_by_open_sessions_and_by_those_that_have_just_ended(
    side: PlatformSide, channel: Channel
) -> None:
    now = datetime.now(UTC)
    needed = [side.add_session(channel, status) for status in (Status.QUEUED, Status.PROCESSING, Status.COMPLETED)]
    done = [side.add_session(channel, status) for status in (Status.COMPLETED, Status.FAILED, Status.FAILED)]
    for ref, ended_at in ((needed[2], now - HOUR), (done[0], now - 7 * HOUR), (done[1], now - 7 * HOUR)):
        table = "generation_sessions" if channel is Channel.B2C else "store_generation_sessions"
        side.sql(f"update {table} set completed_at = %s where id = %s", [ended_at, ref.session_id])
    asked = [ref.session_id for ref in (*needed, *done)] + [str(uuid4()) for _ in range(DELETED_AT_ONCE - 6)]
    found = await side.platform.needed_results(channel, asked, now - 6 * HOUR)
    assert found == {ref.session_id for ref in needed}


@pytest.mark.slow
@pytest.mark.parametrize("most", [0, 1, 7])
async def test_an_answer_that_postgrest_cuts_hides_no_open_session(
    supabase_side: SupabaseSide, supabase: Supabase, most: int
) -> None:
    side = supabase_side
    now = datetime.now(UTC)
    open_ones = [side.add_session(Channel.B2C) for _ in range(10)]
    ended = [side.add_session(Channel.B2C, Status.FAILED) for _ in range(10)]
    side.sql("update generation_sessions set completed_at = %s where status = 'failed'", [now - 7 * HOUR])
    asked = [ref.session_id for ref in (*ended, *open_ones)]
    gone = [str(uuid4()) for _ in range(20)]
    with at_most_rows(supabase, most):
        found = await side.platform.needed_results(Channel.B2C, [*asked, *gone], now - 6 * HOUR)
        there = await side.platform.existing_sessions(Channel.B2C, [*asked, *gone])
    # With no row at all nothing is known of any.
    assert found == ({ref.session_id for ref in open_ones} if most else {*asked, *gone})
    assert there == (set(asked) if most else {*asked, *gone})


@pytest.mark.slow
async def test_what_may_have_been_cut_is_needed_where_a_gateway_hides_how_many_rows_there_are(
    supabase_side: SupabaseSide, supabase: Supabase
) -> None:
    ended, untold = str(uuid4()), str(uuid4())
    row = {"id": ended, "status": "failed", "completed_at": "2026-01-01T00:00:00Z"}
    answer = Response(200, json.dumps([row]).encode(), JSON)
    supabase.gateway.add(Fault("GET /rest/v1/generation_sessions", Do.ANSWER, answer, times=None))
    found = await supabase_side.platform.needed_results(Channel.B2C, [ended, untold], datetime.now(UTC))
    assert found == {untold}
