"""Paid pictures on disk."""

import errno
import json
import os
import stat
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.job_side import new_spool
from wearon.dependencies import Dependencies
from wearon.platform.base import Channel, SessionRef
from wearon.resources.shortage import is_shortage
from wearon.tryon.image_model import GeneratedImage, PaidAnswer, Usage
from wearon.tryon.spool import Spool, SpoolError

OWNER = "6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10"
REF = SessionRef(Channel.B2C, OWNER, "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11")
OTHER = SessionRef(Channel.B2C, OWNER, "11111111-9d3f-4f43-9c7e-3d8a2f0d6c11")
IMAGE = GeneratedImage(b"\xff\xd8 a picture \n\n of several lines \xff\xd9", Usage(812, 1584, Decimal("0.056123")))
HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "spool"


@pytest.fixture
def spool(folder: Path) -> Spool:
    return new_spool(folder)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def only_file(folder: Path) -> Path:
    (path,) = files(folder)
    return path


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_old(path: Path) -> None:
    os.utime(path, (0, 0))


@pytest.mark.parametrize(
    "image",
    [IMAGE, GeneratedImage(b"jpeg", None), GeneratedImage(b"jpeg", Usage(1, 2, None))],
    ids=["with cost", "without usage", "without cost"],
)
async def test_what_was_saved_is_loaded_by_another_process(folder: Path, image: GeneratedImage) -> None:
    await new_spool(folder).keep_picture(REF, image)
    assert await new_spool(folder).load_picture(REF) == image


async def test_nothing_is_loaded_before_anything_was_saved(spool: Spool) -> None:
    assert await spool.load_picture(REF) is None


async def test_sessions_and_channels_are_kept_apart(spool: Spool) -> None:
    await spool.keep_picture(REF, IMAGE)
    assert await spool.load_picture(OTHER) is None
    assert await spool.load_picture(SessionRef(Channel.B2B, REF.owner_id, REF.session_id)) is None


async def test_another_owner_does_not_get_the_picture(spool: Spool) -> None:
    await spool.keep_picture(REF, IMAGE)
    assert (
        await spool.load_picture(SessionRef(REF.channel, "99999999-6a10-4a62-b3b1-7b3d4c1f5d10", REF.session_id))
        is None
    )


async def test_saving_again_replaces(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, GeneratedImage(b"older", None))
    await spool.keep_picture(REF, IMAGE)
    assert await spool.load_picture(REF) == IMAGE
    assert len(files(folder)) == 1


async def test_discarded_is_gone_and_discarding_twice_is_harmless(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, IMAGE)
    await spool.discard(REF)
    await spool.discard(REF)
    assert await spool.load_picture(REF) is None
    assert not files(folder)


async def test_folder_and_file_are_for_the_owner_only(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, IMAGE)
    assert permissions(folder) == 0o700
    assert permissions(only_file(folder)) == 0o600


async def test_every_torn_file_counts_as_absent(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, IMAGE)
    path = only_file(folder)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert await spool.load_picture(REF) is None, f"{length} of {len(whole)} bytes"


async def test_a_picture_with_a_hole_counts_as_absent(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, IMAGE)
    path = only_file(folder)
    path.write_bytes(path.read_bytes().replace(b"several", b"\0" * 7))
    assert await spool.load_picture(REF) is None


@pytest.mark.parametrize("session_id", ["../../etc/passwd", "..", "", "a/b", "x" * 300, "nul\0"])
async def test_a_session_id_that_is_no_uuid_never_becomes_a_path(spool: Spool, folder: Path, session_id: str) -> None:
    ref = SessionRef(Channel.B2C, OWNER, session_id)
    assert not await spool.keep_picture(ref, IMAGE)
    assert await spool.load_picture(ref) is None
    await spool.discard(ref)
    assert not files(folder)


async def test_a_disk_that_is_full_is_a_clear_error_and_what_was_paid_for_is_held_until_it_is_not(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("wearon.tryon.spool.os.fsync", full)
        with capture_logs() as logs:
            assert not await spool.keep_picture(REF, IMAGE)
        assert "No space left on device" in logs[0]["error"]
        assert not files(folder)
        assert await spool.holds(REF)
        assert await spool.load_picture(REF) == IMAGE
        assert await new_spool(folder).load_picture(REF) is None
    assert await spool.load_picture(REF) == IMAGE
    assert await new_spool(folder).load_picture(REF) == IMAGE


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = new_spool(tmp_path / "file" / "spool")
    assert not await spool.keep_picture(REF, IMAGE)
    await spool.discard(REF)
    assert await spool.load_picture(REF) is None


LACKS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
    MemoryError(),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("lack", LACKS, ids=repr)
async def test_what_the_disk_does_not_take_is_told_and_known_to_be_here_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lack: Exception
) -> None:
    dependencies = Dependencies()
    spool = new_spool(folder, dependencies)

    def refuse(*_arguments: object) -> None:
        raise lack

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "_write", refuse)
        assert not await spool.keep_answer(REF, PaidAnswer(b"an answer", "gpt-image-2"))
        assert await spool.load_answer(REF) == PaidAnswer(b"an answer", "gpt-image-2")
        assert (spool.holds_alone(REF.session_id), spool.holds_alone(OTHER.session_id)) == (True, False)
        assert await spool.left_behind(HOUR) == []
        assert await spool.left_behind(-HOUR) == [REF]
        (said,) = dependencies.refusals
        assert said.words.startswith("what is paid for cannot be kept on disk: ")
    assert await spool.left_behind(HOUR) == []
    assert not spool.holds_alone(REF.session_id)
    assert await new_spool(folder).load_answer(REF) == PaidAnswer(b"an answer", "gpt-image-2")
    assert dependencies.refusals == []


async def test_what_is_here_alone_goes_with_its_session(spool: Spool, folder: Path) -> None:
    folder.parent.touch()  # a file where a folder should be
    assert not await spool.keep_picture(REF, IMAGE)
    await spool.discard(REF)
    assert not spool.holds_alone(REF.session_id)
    assert not await spool.holds(REF)


async def test_a_file_that_cannot_be_read_for_want_of_descriptors_is_not_absent(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.keep_picture(REF, IMAGE)

    def none_left(_path: Path) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", none_left)
    with pytest.raises(SpoolError) as refused:
        await spool.load_picture(REF)
    assert is_shortage(refused.value)


async def test_a_failed_replacement_keeps_the_older_picture(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.keep_picture(REF, IMAGE)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wearon.tryon.spool.os.fsync", full)
    assert not await spool.keep_picture(REF, GeneratedImage(b"newer", None))
    assert await new_spool(folder).load_picture(REF) == IMAGE


async def test_sweeping_takes_remains_of_interrupted_saves_and_nothing_that_was_paid_for(
    spool: Spool, folder: Path
) -> None:
    await spool.keep_picture(REF, IMAGE)
    make_old(only_file(folder))
    await spool.keep_picture(OTHER, IMAGE)
    remains = folder / "tmpabc.new"
    remains.write_bytes(b"half a pic")
    make_old(remains)
    (folder / "new.new").write_bytes(b"being written just now")
    not_ours = folder / "README"
    not_ours.touch()
    make_old(not_ours)

    assert await spool.sweep(HOUR) == 1
    assert await spool.load_picture(REF) == IMAGE
    assert await spool.load_picture(OTHER) == IMAGE
    assert {path.name for path in files(folder)} >= {"new.new", "README"}
    assert await spool.sweep(HOUR) == 0


async def test_sweeping_before_anything_was_saved_is_harmless(spool: Spool) -> None:
    assert await spool.sweep(HOUR) == 0


async def test_an_answer_is_kept_beside_the_picture_and_goes_with_it(spool: Spool, folder: Path) -> None:
    assert await spool.load_answer(REF) is None
    await spool.keep_answer(REF, PaidAnswer(b'{"data": [...]}\n', "gpt-image-2"))
    assert await spool.load_picture(REF) is None, "no picture was made of it yet"
    await spool.keep_picture(REF, replace(IMAGE, model="gpt-image-2"))
    assert await new_spool(folder).load_answer(REF) == PaidAnswer(b'{"data": [...]}\n', "gpt-image-2")
    image = await new_spool(folder).load_picture(REF)
    assert image == IMAGE
    assert image.model == "gpt-image-2"
    await spool.discard(REF)
    assert files(folder) == []


async def test_an_answer_of_an_earlier_version_is_read_without_its_model(spool: Spool, folder: Path) -> None:
    await spool.keep_answer(REF, PaidAnswer(b"an answer", "gpt-image-2"))
    path = only_file(folder)
    header, _, body = path.read_bytes().partition(b"\n")
    earlier = {name: value for name, value in json.loads(header).items() if name != "model"}
    path.write_bytes(json.dumps(earlier).encode() + b"\n" + body)
    assert await spool.load_answer(REF) == PaidAnswer(b"an answer", None)


async def test_a_torn_answer_counts_as_absent(spool: Spool, folder: Path) -> None:
    await spool.keep_answer(REF, PaidAnswer(b"an answer", None))
    path = only_file(folder)
    path.write_bytes(path.read_bytes()[:-1])
    assert await spool.load_answer(REF) is None


async def test_what_was_left_behind_is_told_with_whose_it_is(spool: Spool, folder: Path) -> None:
    await spool.keep_answer(REF, PaidAnswer(b"answer", None))
    await spool.keep_picture(REF, IMAGE)
    await spool.keep_picture(OTHER, IMAGE)
    assert await spool.left_behind(HOUR) == []
    for file in files(folder):
        if OTHER.session_id not in file.name:
            make_old(file)
    assert await spool.left_behind(HOUR) == [REF]


async def test_nobody_waits_for_a_file_that_does_not_say_whose_it_is(spool: Spool, folder: Path) -> None:
    await spool.keep_picture(REF, IMAGE)
    damaged = only_file(folder)
    damaged.write_bytes(b"\xff" * 10_000)
    make_old(damaged)
    assert await spool.holds(REF)
    assert await spool.left_behind(HOUR) == []
    assert not await spool.holds(REF)
    assert only_file(folder).read_bytes() == b"\xff" * 10_000, "somebody may want to look at it"
    assert await spool.sweep(HOUR) == 1


async def test_it_is_known_for_whom_anything_is_kept(spool: Spool) -> None:
    assert not await spool.holds(REF)
    await spool.keep_answer(REF, PaidAnswer(b"answer", None))
    assert await spool.holds(REF)
    assert not await spool.holds(OTHER)


async def test_a_folder_that_cannot_be_looked_into_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    spool = new_spool(tmp_path / "loop" / "spool")
    assert not await spool.holds(REF)
    assert await spool.left_behind(HOUR) == []
    too_long = new_spool(tmp_path / ("x" * 300))  # ENAMETOOLONG, which Path.exists raises
    assert not await too_long.holds(REF)
    assert await too_long.left_behind(HOUR) == []
