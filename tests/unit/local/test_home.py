"""Local mode's folder on a machine with other users."""

import os
import stat
from pathlib import Path

import pytest

from wearon.local.home import claim, object_to

OTHER = 12345


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of another user: only root could make one, so this user is taken for another one."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    owner = folder.stat().st_uid
    if owner == 0:
        os.chown(folder, OTHER, OTHER)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    return folder


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_new_one_is_for_this_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    assert object_to(home) is None
    claim(home)
    assert mode_of(home) == 0o700


@pytest.mark.parametrize(("before", "after"), [(0o777, 0o755), (0o775, 0o755), (0o755, 0o755), (0o2770, 0o2750)])
def test_others_may_not_write_into_it_any_more(tmp_path: Path, before: int, after: int) -> None:
    tmp_path.chmod(before)
    claim(tmp_path)
    assert mode_of(tmp_path) == after


def test_a_folder_for_everybody_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match="everybody may write into it"):
        claim(tmp_path)
    assert mode_of(tmp_path) == 0o1777


def test_another_users_is_refused(theirs: Path) -> None:
    with pytest.raises(PermissionError, match="belongs to another user"):
        claim(theirs)


def test_a_link_into_another_users_is_refused(theirs: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(theirs)
    assert "belongs to another user" in (object_to(link) or "")


def test_a_link_of_ones_own_is_fine(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.mkdir(mode=0o700)
    link.symlink_to(elsewhere)
    claim(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link for another user")
def test_another_users_link_into_ones_own_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(PermissionError, match="belongs to another user"):
        claim(link)
