"""What a URL names: one strict reading of it, used for the decision and for the connection alike.

Attacks on downloaders live on two readers that understand a URL differently, so whatever has more than one
reading is refused here: IPv4 addresses that are not plain dotted quads, trailing dots, zone ids, credentials,
backslashes, percent signs in the host.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self

import httpx

DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_URL_LENGTH = 8192
"""Signed Storage URLs have some 600 characters; 8 KB is what common servers accept at most."""

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
"""Characters that other readers skip, or take for a slash."""

_START = re.compile(r"https?://(?P<authority>[^/?#]*)", re.IGNORECASE)

_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(:[0-9]{1,5})?")
"""Host and port; stricter than int() and httpx, which read `:8_0` and `:` as ports."""

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
"""LDH labels, and the underscore that container names have. ASCII only: IDNA names are encoded by then."""

_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes the whole host an IPv4 address to inet_aton and to browsers."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what trust is given to. The host is lower case, IDNA-encoded, without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `scheme://host[:port]` (a slash may follow). Raises ValueError with a message for the operator."""
        url = _parse(text)
        if url.raw_path not in {b"", b"/"} or url.fragment or "?" in text or "#" in text:
            raise ValueError("an origin is scheme://host[:port], without path, query or fragment")
        return cls._of(url)

    @classmethod
    def _of(cls, url: httpx.URL) -> Self:
        return cls(url.scheme, _host(url), _port(url))

    @property
    def netloc(self) -> str:
        """host[:port] as the Host header wants it: IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart: whom to ask, and what for (path and query, percent-encoded)."""

    origin: Origin
    path: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an http or https URL. Raises ValueError; its message never repeats a part of the URL."""
        url = _parse(text)
        return cls(Origin._of(url), url.raw_path)  # noqa: SLF001 - same module, not for others


def _parse(text: str) -> httpx.URL:
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"the URL is longer than {MAX_URL_LENGTH} characters")
    if _FORBIDDEN.search(text):
        raise ValueError("the URL has a space, a backslash or a control character in it")
    start = _START.match(text)
    if start is None:
        raise ValueError("the URL is not an http or https one")
    if "@" in start["authority"]:
        raise ValueError("the URL carries credentials")
    if not _AUTHORITY.fullmatch(start["authority"]):
        raise ValueError("the URL's host or port is not a valid one")
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError):  # ValueError: lone surrogates, and whatever idna finds
        raise ValueError("not a valid URL") from None


def _host(url: httpx.URL) -> str:
    host = url.raw_host.decode("ascii")
    if ":" in host:
        # Written out anew, so that one address is one origin.
        return str(_strict_ipv6(host))
    if host.endswith("."):
        raise ValueError("the host ends in a dot")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError("the host is missing or not a valid name")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return str(_strict_ipv4(host))
    return host


def _strict_ipv4(host: str) -> IPv4Address:
    try:
        return IPv4Address(host)  # takes four decimal numbers without leading zeros, nothing else
    except AddressValueError:
        raise ValueError("the host is an IPv4 address in an unusual spelling") from None


def _strict_ipv6(host: str) -> IPv6Address:
    if "%" in host:
        raise ValueError("the host is an IPv6 address with a zone id")
    try:
        return IPv6Address(host)
    except AddressValueError:
        raise ValueError("the host is not a valid IPv6 address") from None


def _port(url: httpx.URL) -> int:
    port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 1 <= port <= 65535:
        raise ValueError("the port is not between 1 and 65535")
    return port
