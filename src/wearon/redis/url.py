"""REDIS_URL, taken apart once and strictly, so that a mistake in it is a sentence at the start.

redis-py takes what it does not understand for something else: a raw `@` in a password becomes a piece of the host's
name, which is then logged and asked of DNS; a path that is no number becomes database 0; an option that it does not
know becomes an argument of its connections.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

DEFAULT_PORT = 6379

ENCODE = "special characters of user and password must be percent-encoded"

_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]"
_ADDRESS = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_NUMBER = re.compile(r"[0-9]{1,5}")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

_BOOLEANS = {"true": True, "false": False}
_CERT_REQS = ("required", "optional", "none")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("db", "ssl_cert_reqs", "ssl_check_hostname", *_FILES)


class BadRedisUrl(ValueError):
    """The Redis URL cannot be used. The message holds nothing of the URL, which may carry a password."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A Redis URL, taken apart."""

    tls: bool
    host: str
    port: int = DEFAULT_PORT
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cert_reqs: str = "required"
    check_hostname: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    """The given ones of `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`."""

    @property
    def shown(self) -> str:
        """The URL as it may be shown to people: scheme, host, port and database only."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"


def parse_redis_url(url: str) -> RedisUrl:
    """Take a URL apart; raises BadRedisUrl, whose message quotes nothing of it."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in {"redis", "rediss"}:
        raise BadRedisUrl("must begin with redis:// or rediss://")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BadRedisUrl(f"holds a space or a character that no URL has: {ENCODE}")
    if "#" in rest:
        raise BadRedisUrl(f"holds a raw '#': {ENCODE}")
    authority, path, query = _split(rest)
    username, password, address = _credentials(authority)
    host, port = _address(address)
    options = _options(query)
    tls = scheme.lower() == "rediss"
    cert_reqs, check_hostname = _certificates(options, tls=tls)
    return RedisUrl(
        tls,
        host,
        port,
        _database(path, options.get("db")),
        username,
        password,
        cert_reqs,
        check_hostname,
        _files(options),
    )


def _split(rest: str) -> tuple[str, str, str]:
    """The authority, the path without its slash, and the query."""
    before_query, _, query = rest.partition("?")
    authority, _, path = before_query.partition("/")
    if "@" in path or "@" in query:
        raise BadRedisUrl(f"holds a raw '/' or '?' before the '@': {ENCODE}")
    return authority, path, query


def _credentials(authority: str) -> tuple[str | None, str | None, str]:
    """User, password, and what is left of the authority."""
    if authority.count("@") > 1:
        raise BadRedisUrl(f"holds more than one '@': {ENCODE}")
    credentials, _, address = authority.rpartition("@")
    if _PERCENT.search(credentials):
        raise BadRedisUrl(f"holds a '%' that begins no percent-encoded character: {ENCODE}")
    username, _, password = credentials.partition(":")
    return unquote(username) or None, unquote(password) or None, address


def _address(address: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise BadRedisUrl(f"names no host and port, such as queue.example.com:6379 ({ENCODE})")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise BadRedisUrl("names a port that does not exist")
    return found["host"].strip("[]"), port


def _database(path: str, option: str | None) -> int:
    numbers = {text for text in (path or None, option) if text is not None}
    if any(_NUMBER.fullmatch(text) is None for text in numbers):
        raise BadRedisUrl("names a database that is no number: the path must be empty, or such as /0")
    if len({int(text) for text in numbers}) > 1:
        raise BadRedisUrl("names two databases, in its path and in its query")
    return int(numbers.pop()) if numbers else 0


def _options(query: str) -> Mapping[str, str]:
    """The query's options, each known and given once."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise BadRedisUrl("has a query that is not name=value&name=value") from None
    if any(name not in _OPTIONS for name, _ in pairs):
        raise BadRedisUrl(f"has an option that is not known here; known are {', '.join(_OPTIONS)}")
    if len({name for name, _ in pairs}) < len(pairs):
        raise BadRedisUrl("has an option twice")
    return dict(pairs)


def _certificates(options: Mapping[str, str], *, tls: bool) -> tuple[str, bool]:
    """How far the server's certificate is checked."""
    if not tls and any(name.startswith("ssl_") for name in options):
        raise BadRedisUrl("has ssl options, but redis:// is without TLS: rediss:// is with it")
    cert_reqs = options.get("ssl_cert_reqs", "required")
    if cert_reqs not in _CERT_REQS:
        raise BadRedisUrl(f"has an ssl_cert_reqs that is none of {', '.join(_CERT_REQS)}")
    told = options.get("ssl_check_hostname")
    if told is not None and told.lower() not in _BOOLEANS:
        raise BadRedisUrl("has an ssl_check_hostname that is neither true nor false")
    check_hostname = _BOOLEANS[told.lower()] if told is not None else cert_reqs != "none"
    if check_hostname and cert_reqs == "none":
        raise BadRedisUrl("has ssl_check_hostname=true with ssl_cert_reqs=none, which checks nothing")
    return cert_reqs, check_hostname


def _files(options: Mapping[str, str]) -> Mapping[str, str]:
    files = {name: options[name] for name in _FILES if name in options}
    if any(not Path(path).is_file() for path in files.values()):
        raise BadRedisUrl(f"names a file that is not there; files are those of {', '.join(_FILES)}")
    if ("ssl_certfile" in files) != ("ssl_keyfile" in files):
        raise BadRedisUrl("has only one of ssl_certfile and ssl_keyfile")
    return files
