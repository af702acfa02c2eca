"""A `multipart/form-data` body, parsed as it arrives and within bounds.

FormError   the body is not a form, or can be read in two ways
"""

from collections.abc import Mapping

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from wearon.api.upload_memory import too_large

PARTS, HEADERS, HEADER_BYTES = 32, 8, 1024
"""Parts of a form, header fields of a part, and bytes of one. Browsers send two or three fields of 100 bytes."""


class FormError(Exception):
    """The body is not a form. The message says why."""


class Form:
    """Keeps the parts whose names are in `limits`, each within so many bytes; others are passed over."""

    def __init__(self, content_type: str, limits: Mapping[str, int]) -> None:
        """Raises FormError when the content type names no boundary."""
        self._limits = limits
        self._names: set[str] = set()
        self._parts: dict[str, bytearray] = {}
        self._part: tuple[bytearray, int] | None = None
        self._line_end = b""
        try:
            self._parser = PushMultipartParser(
                parse_options_header(content_type)[1].get("boundary", ""),
                max_segment_count=PARTS,
                max_header_count=HEADERS,
                max_header_size=HEADER_BYTES,
                strict=True,
            )
        except MultipartError as error:
            raise FormError(str(error)) from error

    def feed(self, piece: bytes) -> None:
        """Parse what has arrived. Raises FormError, and HTTPException for a part that is too large."""
        data = self._line_end + piece
        # A line end may stand behind the form, where a strict parser wants nothing: it is given with what follows it.
        self._line_end = next((end for end in (b"\r\n", b"\r") if data.endswith(end)), b"")
        data = data.removesuffix(self._line_end)
        try:
            for event in self._parser.parse(data) if data else ():
                if isinstance(event, MultipartSegment):
                    self._begin(event.name or "")
                elif event is not None and self._part is not None:
                    part, limit = self._part
                    part += event
                    if len(part) > limit:
                        raise too_large(limit)
        except MultipartError as error:
            raise FormError(str(error)) from error

    def parts(self) -> dict[str, bytearray]:
        """The parts by name, when all has arrived. Raises FormError when something is missing."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise FormError(str(error)) from error
        return self._parts

    def _begin(self, name: str) -> None:
        if name in self._names:
            raise FormError("A field is there twice")
        self._names.add(name)
        self._part = None
        if name in self._limits:
            self._parts[name] = bytearray()
            self._part = self._parts[name], self._limits[name]
