"""The URL of the running `wearon serve` in local mode, kept in its folder for the other commands."""

from pathlib import Path

FILE = "serve.url"


def remember(home: Path, public_url: str) -> None:
    """Keep the URL of a `serve` that has started."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / FILE
    file.touch(mode=0o600)
    file.write_text(public_url)


def recall(home: Path) -> str | None:
    """The URL of the last `serve`; whether that still runs is for the caller to find out."""
    try:
        return (home / FILE).read_text().strip() or None
    except OSError:
        return None
