"""What must not be seen in a log: secrets, the query of every URL, signed tokens, e-mail addresses."""

import re
from collections.abc import Iterable
from types import NoneType

from structlog.typing import EventDict, WrappedLogger

# What follows takes time in proportion to the text, however it was made: where what is looked for does not come to its
# end, the part that matched its beginning is passed over at once (optional last groups, possessive quantifiers) and
# not looked through again from its second character on.
URL_WITH_QUERY = re.compile(r"(https?://[^\s?#\"'<>]++)([?#][^\s\"'<>]*+)?", re.IGNORECASE)
URL_CREDENTIALS = re.compile(r"(?<=\w://)[^\s/@]++@")
SHORTEST_SECRET = 6
"""Shorter ones are no secrets, and taking them out would leave no readable line."""

SIGNED_TOKEN = re.compile(r"eyJ[\w-]{8,}+((?:\.[\w-]++)++)?")
"""JSON web tokens: what a signed URL carries, also where it stands without its URL."""

E_MAIL = re.compile(r"[\w.%+-]++(@[\w-]++(?:\.[\w-]++)++)?")

NOTHING_TO_HIDE = frozenset({int, float, bool, NoneType})
"""Types of values that are written as they are."""

ALWAYS_TEXT = ("event", "request_id", "session_id", "channel", "level", "logger", "timestamp")


class Redaction:
    """A structlog processor that takes secrets, URL queries and e-mail addresses out of every value of a line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        # The longest first: of one that contains another, the rest would stay.
        self._secrets = sorted(known, key=len, reverse=True)
        self._signs = ("@", "://", "eyJ", *self._secrets)

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """The line without what must not be seen.

        What goes wrong with a value (one that has no text, one that contains itself) costs all that is not known to be
        text.
        """
        try:
            return self._cleaned(line)
        except Exception as error:  # noqa: BLE001 (`__str__` of anything)
            texts = {name: self.clean_text(line[name]) for name in ALWAYS_TEXT if type(line.get(name)) is str}
            return {**texts, "not_logged": type(error).__name__}

    def _cleaned(self, line: EventDict) -> EventDict:
        """The line itself if nothing of it must be hidden, as with nearly all of them."""
        texts = []
        for value in line.values():
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif kind not in NOTHING_TO_HIDE:
                break
        else:
            if not self._may_hide_something("\n".join(texts)):
                return line
        return {key: self._clean(value) for key, value in line.items()}

    def _may_hide_something(self, text: str) -> bool:
        for sign in self._signs:  # noqa: SIM110 - any() takes twice as long, and this is done for every line
            if sign in text:
                return True
        return False

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, dict):
            return {self._clean_key(key): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self._clean(item) for item in value]
        if isinstance(value, int | float | None):
            return value
        return self.clean_text(str(value))

    def _clean_key(self, key: object) -> object:
        return key if isinstance(key, int | float | None) else self.clean_text(str(key))

    def clean_text(self, text: str) -> str:
        """The text without anything that must not be seen."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if "@" in text:
            text = E_MAIL.sub(_without_address, URL_CREDENTIALS.sub("***@", text))
        if "://" in text:
            text = URL_WITH_QUERY.sub(_without_query, text)
        if "eyJ" in text:
            text = SIGNED_TOKEN.sub(_without_token, text)
        return text


def _without_address(found: re.Match[str]) -> str:
    return "***@***" if found[1] else found[0]


def _without_query(found: re.Match[str]) -> str:
    return f"{found[1]}?***" if found[2] else found[0]


def _without_token(found: re.Match[str]) -> str:
    return "***" if found[1] else found[0]
