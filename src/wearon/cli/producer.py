"""Pictures that a command gets as file or URL, for a producer's task."""

from pathlib import Path

from wearon.cli.output import CommandError
from wearon.local.platform import LocalPlatform
from wearon.platform.base import MAX_PICTURE_BYTES


def is_url(picture: str) -> bool:
    """Whether a picture is named by URL, not by file."""
    return picture.startswith(("http://", "https://"))


async def upload(platform: LocalPlatform, picture: str) -> str:
    """The URL of a picture: its own, or that of the file put into the local platform's folder."""
    if is_url(picture):
        return picture
    file = Path(picture)
    try:
        size = file.stat().st_size
        if size > MAX_PICTURE_BYTES:
            raise CommandError(f"{file} is larger than 10 MB")
        return await platform.add_upload(file.read_bytes(), file.suffix)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
