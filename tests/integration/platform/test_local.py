"""What only the local platform has: files on a disk, several processes, and the shop's part."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from support.platform_side import LocalSide
from wearon.local.credits import DEMO_CREDITS
from wearon.local.platform import DEMO_STORE_ID, DEMO_USER_ID, LocalPlatform
from wearon.platform.base import (
    Channel,
    LedgerEntryType,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
    ShopperRefund,
    Status,
    StoreRefund,
    UserRefund,
)

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
EMAIL = "anna@shopper.example"
PUBLIC_URL = "http://127.0.0.1:8000"


def open_to_others(folder: Path) -> dict[str, str]:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


@pytest.fixture
def local(local_side: LocalSide) -> LocalPlatform:
    """A new local platform."""
    return local_side.local


class TestProducers:
    """`create_session`, `add_upload` and `balance`."""

    @pytest.mark.parametrize(
        ("channel", "shopper_email", "owner_id"),
        [
            (Channel.B2C, None, DEMO_USER_ID),
            (Channel.B2B, None, DEMO_STORE_ID),
            (Channel.B2B, EMAIL, DEMO_STORE_ID),
        ],
    )
    async def test_a_session_costs_a_credit_of_the_demo_owner(
        self, local: LocalPlatform, channel: Channel, shopper_email: str | None, owner_id: str
    ) -> None:
        session = await local.create_session(channel, request_id="req_1", shopper_email=shopper_email)

        assert session == await local.find_session(channel, session.ref.session_id)
        assert (session.ref.owner_id, session.status, session.credits_used) == (owner_id, Status.QUEUED, 1)
        assert await local.balance(channel, shopper_email=shopper_email) == DEMO_CREDITS - 1

    async def test_credits_come_from_who_pays_and_from_nobody_else(self, local: LocalPlatform) -> None:
        store_id = str(uuid4())

        await local.create_session(Channel.B2B, request_id="req_1", credits=3, owner_id=store_id)
        await local.create_session(Channel.B2B, request_id="req_2", credits=2, owner_id=store_id, shopper_email=EMAIL)

        assert await local.balance(Channel.B2B, owner_id=store_id) == DEMO_CREDITS - 3
        assert await local.balance(Channel.B2B, owner_id=store_id, shopper_email=EMAIL) == DEMO_CREDITS - 2
        assert await local.balance(Channel.B2B) is None

    @pytest.mark.parametrize(("shopper_email", "end"), [(None, "Try-on"), (EMAIL, f" (shopper={EMAIL})")])
    async def test_the_deduction_says_who_paid(self, local: LocalPlatform, shopper_email: str | None, end: str) -> None:
        session = await local.create_session(Channel.B2B, request_id="req_1", shopper_email=shopper_email)

        (entry,) = await local.ledger_entries(session)

        assert entry.type is LedgerEntryType.DEDUCTION
        assert entry.description.endswith(end)

    async def test_what_was_taken_can_be_given_back(self, local: LocalPlatform) -> None:
        for_user = await local.create_session(Channel.B2C, request_id="req_1")
        for_shopper = await local.create_session(Channel.B2B, request_id="req_2", shopper_email=EMAIL)
        for_store = await local.create_session(Channel.B2B, request_id="req_3")

        await local.give_back(UserRefund(for_user.ref.owner_id, 1, "x"))
        await local.give_back(ShopperRefund(for_shopper.ref.owner_id, EMAIL, 1, "req_2", "x"))
        await local.give_back(StoreRefund(for_store.ref.owner_id, 1, "req_3", "x"))

        assert await local.balance(Channel.B2C) == DEMO_CREDITS
        assert await local.balance(Channel.B2B) == DEMO_CREDITS
        assert await local.balance(Channel.B2B, shopper_email=EMAIL) == DEMO_CREDITS

    async def test_without_credits_there_is_no_session(self, local_side: LocalSide) -> None:
        with pytest.raises(PlatformRefused, match="credits"):
            await local_side.local.create_session(Channel.B2C, request_id="req_1", credits=DEMO_CREDITS + 1)

        assert local_side.sql("select * from generation_sessions") == []
        assert local_side.sql("select * from credit_transactions") == []

    async def test_a_request_is_charged_once(self, local_side: LocalSide) -> None:
        await local_side.local.create_session(Channel.B2B, request_id="req_1")

        with pytest.raises(PlatformRefused, match="req_1"):
            await local_side.local.create_session(Channel.B2B, request_id="req_1")

        assert await local_side.local.balance(Channel.B2B) == DEMO_CREDITS - 1
        assert len(local_side.sql("select * from store_generation_sessions")) == 1

    async def test_an_upload_is_opened_by_its_url(self, local_side: LocalSide) -> None:
        url = await local_side.local.add_upload(b"\x89PNG", ".PNG")

        assert url.startswith(f"{PUBLIC_URL}/files/uploads/")
        assert urlsplit(url).path.endswith(".png")
        assert local_side.open(url) == b"\x89PNG"

    @pytest.mark.parametrize("suffix", ["", ".exe", "/../x.png", "png"])
    async def test_an_upload_that_is_no_picture_is_refused(self, local: LocalPlatform, suffix: str) -> None:
        with pytest.raises(PlatformRefused):
            await local.add_upload(b"x", suffix)


class TestFiles:
    """What lies in the home folder."""

    async def test_data_survives_a_restart(self, tmp_path: Path) -> None:
        first = await LocalPlatform.open(tmp_path, PUBLIC_URL)
        session = await first.create_session(Channel.B2B, request_id="req_1")
        await first.store_picture(session.ref, b"\xff\xd8\xff")
        url = await first.sign_picture(session.ref)
        await first.aclose()

        second = await LocalPlatform.open(tmp_path, "http://elsewhere:1")

        assert await second.find_session(Channel.B2B, session.ref.session_id) == session
        assert await second.balance(Channel.B2B) == DEMO_CREDITS - 1
        query = parse_qs(urlsplit(url).query)
        file = second.read_signed(session.ref.picture_path, int(query["expires"][0]), query["signature"][0])
        assert file is not None
        assert file.read_bytes() == b"\xff\xd8\xff"
        await second.aclose()

    async def test_the_signing_key_is_for_its_owner_alone(self, local: LocalPlatform, tmp_path: Path) -> None:
        key = tmp_path / "home" / "signing.key"

        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert len(key.read_bytes()) == 32

    async def test_everything_in_the_home_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        home = tmp_path / "new home"
        local = await LocalPlatform.open(home, PUBLIC_URL)
        await local.create_session(Channel.B2C, request_id="req_1")
        await local.add_upload(b"\x89PNG", ".png")
        assert open_to_others(home) == {}
        assert (home / "platform.sqlite3-wal").exists()
        await local.aclose()

    async def test_what_an_earlier_version_left_readable_is_made_private(self, tmp_path: Path) -> None:
        home = tmp_path / "old home"
        (home / "pictures").mkdir(parents=True)
        await (await LocalPlatform.open(home, PUBLIC_URL)).aclose()
        for path in (home / "pictures", home / "platform.sqlite3"):
            path.chmod(0o755)
        local = await LocalPlatform.open(home, PUBLIC_URL)
        assert set(open_to_others(home)) <= {"old home"}
        await local.aclose()

    async def test_a_url_opens_its_file_whichever_process_signed_it(self, tmp_path: Path) -> None:
        home = tmp_path / "shared"
        now = [1000.0]
        one = await LocalPlatform.open(home, "http://127.0.0.1:8000", clock=lambda: now[0])
        other = await LocalPlatform.open(home, "http://[::1]:8001", clock=lambda: now[0])
        url = await one.add_upload(b"\x89PNG", ".png")
        file = other.file_of(url)
        assert file is not None
        assert file.read_bytes() == b"\x89PNG"
        assert other.stored_path(url) == one.stored_path(url) is not None
        assert one.file_of(await other.add_upload(b"GIF", ".png")) is not None
        for altered in (
            url.replace("127.0.0.1", "elsewhere.example"),
            url.replace("127.0.0.1", "10.0.0.1"),
            url.replace("http:", "https:"),
            url.replace("/files/", "/pictures/"),
            url.replace("signature=", "signature=0"),
            url.replace("uploads/", "uploads/../uploads/../../signing.key?"),
            url.partition("?")[0],
            "http://[",
            "",
        ):
            assert other.file_of(altered) is None, altered
        now[0] += 8 * 24 * 3600
        assert other.file_of(url) is None
        await one.aclose()
        await other.aclose()

    async def test_a_full_disk_is_called_a_full_disk(self, local_side: LocalSide, tmp_path: Path) -> None:
        await local_side.local._database.rows("pragma max_page_count = 1")
        sessions = [local_side.local.create_session(Channel.B2C, request_id=f"req_{number}") for number in range(500)]
        with pytest.raises(PlatformUnavailable, match="the disk is full"):
            await asyncio.gather(*sessions)

    async def test_pictures_leave_no_unfinished_files(self, local: LocalPlatform, tmp_path: Path) -> None:
        ref = SessionRef(Channel.B2C, str(uuid4()), str(uuid4()))
        for _ in range(3):
            await local.store_picture(ref, b"\xff\xd8\xff")

        files = [file.name for file in (tmp_path / "home" / "pictures").rglob("*") if file.is_file()]
        assert files == [f"{ref.session_id}.jpg"]

    async def test_a_database_that_cannot_be_opened_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "platform.sqlite3").write_bytes(b"this is no database" * 100)

        with pytest.raises(PlatformUnavailable, match="not a database"):
            await LocalPlatform.open(tmp_path, PUBLIC_URL)

    async def test_a_picture_that_cannot_be_written_is_tried_again(self, local: LocalPlatform, tmp_path: Path) -> None:
        (tmp_path / "home" / "pictures" / "generated").write_text("in the way")

        with pytest.raises(PlatformUnavailable, match="could not be written"):
            await local.store_picture(SessionRef(Channel.B2C, str(uuid4()), str(uuid4())), b"\xff\xd8\xff")

    async def test_a_database_that_fails_is_unavailable(self, local_side: LocalSide) -> None:
        ref = local_side.add_session(Channel.B2C)
        local_side.sql("drop table generation_sessions")

        with pytest.raises(PlatformUnavailable, match="generation_sessions"):
            await local_side.local.check()
        with pytest.raises(PlatformUnavailable, match="generation_sessions"):
            await local_side.local.start_session(ref)

    async def test_an_unreadable_row_is_named(self, local_side: LocalSide) -> None:
        ref = local_side.add_session(Channel.B2C)
        local_side.sql("update generation_sessions set created_at = 'yesterday'")

        with pytest.raises(PlatformRefused, match="created_at"):
            await local_side.local.find_session(Channel.B2C, ref.session_id)


class TestConcurrency:
    """Tasks of one process, and processes."""

    async def test_of_many_who_fail_a_session_one_owns_the_refund(self, local_side: LocalSide) -> None:
        ref = local_side.add_session(Channel.B2C, Status.PROCESSING)

        owned = await asyncio.gather(*(local_side.local.fail_session(ref, "x", NOW) for _ in range(20)))

        assert sum(owned) == 1

    async def test_refunds_at_once_add_up(self, local_side: LocalSide) -> None:
        user_id = local_side.add_user()
        before = local_side.user_balance(user_id)

        await asyncio.gather(*(local_side.local.give_back(UserRefund(user_id, 1, "x")) for _ in range(20)))

        assert local_side.user_balance(user_id) == before + 20

    async def test_a_cancelled_change_is_made_whole_or_not_at_all(self, local_side: LocalSide) -> None:
        user_id = local_side.add_user()
        before = local_side.user_balance(user_id)
        for turns in range(12):  # cancel after each number of steps that the event loop could have taken
            task = asyncio.ensure_future(local_side.local.give_back(UserRefund(user_id, 1, "x")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        paid = len(local_side.user_refunds(user_id))
        assert local_side.user_balance(user_id) == before + paid
        assert await local_side.local.give_back(UserRefund(user_id, 1, "x")), "the platform goes on working"

    @pytest.mark.slow
    async def test_processes_share_one_home(self, local_side: LocalSide, tmp_path: Path) -> None:
        contested = [local_side.add_session(Channel.B2C, Status.PROCESSING) for _ in range(30)]
        work = {
            "home": str(tmp_path / "home"),
            "contested": [[ref.owner_id, ref.session_id] for ref in contested],
        }
        ended = await asyncio.to_thread(run_together, [sys.executable, "-c", SHARER, json.dumps(work)], 3)

        assert [code for _, _, code in ended] == [0, 0, 0], [errors.decode() for _, errors, _ in ended]
        owned = [json.loads(output) for output, _, _ in ended]
        assert sorted(name for names in owned for name in names) == sorted(ref.session_id for ref in contested)
        assert await local_side.local.balance(Channel.B2C) == DEMO_CREDITS - 3 * 20
        assert len(local_side.sql("select * from generation_sessions where status = 'queued'")) == 3 * 20


def run_together(command: list[str], processes: int) -> list[tuple[bytes, bytes, int]]:
    """Run a command several times at once; what each wrote, what it complained of, and its exit status."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for _ in range(processes)
    ]
    return [(*process.communicate(timeout=120), process.returncode) for process in running]


SHARER = """
import asyncio, json, sys
from datetime import UTC, datetime
from pathlib import Path
from wearon.local.platform import LocalPlatform
from wearon.platform.base import Channel, SessionRef

async def main(home, contested):
    platform = await LocalPlatform.open(Path(home), "http://127.0.0.1:8000")
    owned = []
    for owner_id, session_id in contested:
        if await platform.fail_session(SessionRef(Channel.B2C, owner_id, session_id), "x", datetime.now(UTC)):
            owned.append(session_id)
    for number in range(20):
        await platform.create_session(Channel.B2C, request_id=f"req_{number}")
    await platform.aclose()
    print(json.dumps(owned))

asyncio.run(main(**json.loads(sys.argv[1])))
"""
