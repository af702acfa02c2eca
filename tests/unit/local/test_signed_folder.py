"""The folder behind expiring URLs: what opens, what does not, and what a crash leaves."""

import os
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from wearon.local.signed_folder import SignedFolder, load_or_create_key, write_atomically

NOW = 1_000_000.0
KEY = b"k" * 32


@pytest.fixture
def folder(tmp_path: Path) -> SignedFolder:
    """A folder with one picture, in a parent that has a secret."""
    (tmp_path / "secret").write_text("secret")
    pictures = tmp_path / "pictures"
    (pictures / "generated").mkdir(parents=True)
    (pictures / "generated" / "a b+ü.jpg").write_bytes(b"picture")
    return SignedFolder(pictures, KEY, "http://127.0.0.1:8000/", lambda: NOW)


def parts_of(url: str) -> tuple[str, int, str]:
    """What a route gets out of a URL."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return unquote(parts.path).removeprefix("/files/"), int(query["expires"][0]), query["signature"][0]


def test_a_signed_url_opens_its_file_whatever_its_name(folder: SignedFolder) -> None:
    url = folder.sign("generated/a b+ü.jpg", 60)

    assert url.startswith("http://127.0.0.1:8000/files/generated/a%20b%2B%C3%BC.jpg?expires=1000060&signature=")
    file = folder.read_signed(*parts_of(url))
    assert file is not None
    assert file.read_bytes() == b"picture"


def test_it_opens_until_its_second_has_come(folder: SignedFolder, tmp_path: Path) -> None:
    path, expires, signature = parts_of(folder.sign("generated/a b+ü.jpg", 60))

    def opened_at(moment: float) -> bool:
        later = SignedFolder(tmp_path / "pictures", KEY, "http://x", lambda: moment)
        return later.read_signed(path, expires, signature) is not None

    assert opened_at(NOW + 59.9)
    assert not opened_at(NOW + 60)


def test_nothing_altered_opens(folder: SignedFolder, tmp_path: Path) -> None:
    path, expires, signature = parts_of(folder.sign("generated/a b+ü.jpg", 60))

    assert folder.read_signed(path, expires + 1, signature) is None
    assert folder.read_signed("generated/other.jpg", expires, signature) is None
    assert folder.read_signed(path, expires, "") is None
    assert folder.read_signed(path, expires, signature[:-1]) is None
    assert folder.read_signed(path, expires, signature.upper()) is None
    assert folder.read_signed(path, expires, "ü" * 64) is None
    other_key = SignedFolder(tmp_path / "pictures", b"o" * 32, "http://x", lambda: NOW)
    assert other_key.read_signed(path, expires, signature) is None


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "generated/../../secret",
        "generated/./../../secret",
        "",
        ".",
        "generated",
        "nothing.jpg",
        "link",
        "x\0.jpg",
    ],
)
def test_nothing_outside_is_opened_even_when_it_is_signed(folder: SignedFolder, tmp_path: Path, path: str) -> None:
    (tmp_path / "pictures" / "link").symlink_to(tmp_path / "secret")

    _, expires, signature = parts_of(folder.sign("x", 60))
    signature = folder._signature(path, expires)

    assert folder.read_signed(path, expires, signature) is None


def test_an_absolute_path_is_not_opened(folder: SignedFolder, tmp_path: Path) -> None:
    path = str(tmp_path / "pictures" / "generated" / "a b+ü.jpg")

    assert folder.read_signed(path, int(NOW) + 1, folder._signature(path, int(NOW) + 1)) is None


@pytest.mark.parametrize("path", ["../secret", "/etc/x", "generated/../../secret", ""])
async def test_nothing_outside_is_written_or_found(folder: SignedFolder, tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="out of the folder"):
        await folder.write(path, b"overwritten")

    assert not await folder.has(path)
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "picture.jpg"
    write_atomically(target, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")

    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["picture.jpg"]


def test_the_key_is_made_once_whoever_comes_first(tmp_path: Path) -> None:
    keys: list[bytes] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        keys.append(load_or_create_key(tmp_path / "signing.key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert [file.name for file in tmp_path.iterdir()] == ["signing.key"]
