"""REDIS_URL is taken apart strictly, and what is wrong with it is said without quoting it."""

from pathlib import Path

import pytest

from wearon.redis.clients import connection_pool
from wearon.redis.url import BadRedisUrl, RedisUrl, parse_redis_url

SECRET = "Zq7hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", RedisUrl(tls=False, host="localhost")),
        ("redis://localhost:6390/3", RedisUrl(tls=False, host="localhost", port=6390, db=3)),
        ("redis://localhost/?db=3", RedisUrl(tls=False, host="localhost", db=3)),
        ("redis://localhost/3?db=3", RedisUrl(tls=False, host="localhost", db=3)),
        ("redis://:p%40ss%2F%23@h", RedisUrl(tls=False, host="h", password="p@ss/#")),
        ("redis://u:a:b@h", RedisUrl(tls=False, host="h", username="u", password="a:b")),
        ("rediss://u:p@[::1]:7/0", RedisUrl(tls=True, host="::1", port=7, username="u", password="p")),
        ("REDISS://h?ssl_cert_reqs=none", RedisUrl(tls=True, host="h", cert_reqs="none", check_hostname=False)),
        ("rediss://h?ssl_check_hostname=false", RedisUrl(tls=True, host="h", check_hostname=False)),
        ("rediss://h?ssl_cert_reqs=optional", RedisUrl(tls=True, host="h", cert_reqs="optional")),
    ],
)
def test_a_url_says_where_and_how(url: str, expected: RedisUrl) -> None:
    assert parse_redis_url(url) == expected
    connection_pool(url, name="test").make_connection()  # type: ignore[no-untyped-call] # redis-py takes all of it


@pytest.mark.parametrize(
    "url",
    [
        # Special characters of a password, each where it would be taken for something else.
        f"redis://default:{SECRET}@tail@host:6379/0",
        f"redis://default:{SECRET}/tail@host:6379/0",
        f"redis://default:{SECRET}#tail@host:6379/0",
        f"redis://default:{SECRET}?tail@host:6379/0",
        f"redis://default:{SECRET}%tail@host:6379/0",
        f"redis://default:{SECRET} tail@host:6379/0",
        f"redis://default:{SECRET}\n@host:6379/0",
        f"redis://default:{SECRET}ü@host:6379/0",
        f"redis://default:{SECRET}",
        f"redis://default:{SECRET}@",
        f"redis://default:{SECRET}@ho_st!:6379",
        # Paths and ports.
        f"redis://host/{SECRET}",
        f"redis://host/0/{SECRET}",
        "redis://host/-1",
        "redis://host/0x1",
        "redis://host:0",
        "redis://host:65536",
        f"redis://host:{SECRET}",
        "redis://[::1",
        # Options.
        f"redis://host/0?{SECRET}=1",
        f"redis://host/0?{SECRET}",
        "redis://host/0?family=0",
        "redis://host/0?decode_responses=true",
        "redis://host/0?socket_timeout=5",
        "redis://host/0?db=1",
        "redis://host?db=1&db=1",
        "redis://host?db=",
        "redis://host?db=one",
        "redis://host?ssl_cert_reqs=none",
        "rediss://host?ssl_cert_reqs=CERT_NONE",
        "rediss://host?ssl_cert_reqs=None",
        "rediss://host?ssl_cert_reqs=",
        "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=true",
        "rediss://host?ssl_check_hostname=maybe",
        f"rediss://host?ssl_ca_certs=/nowhere/{SECRET}",
        # Other schemes.
        f"unix://default:{SECRET}@/tmp/redis.sock",
        f"http://default:{SECRET}@host",
        f"{SECRET}",
        "redis:host",
        "",
    ],
)
def test_a_mistake_is_a_sentence_without_a_piece_of_the_url(url: str) -> None:
    with pytest.raises(BadRedisUrl) as raised:
        parse_redis_url(url)
    assert SECRET not in str(raised.value)
    assert "tail" not in str(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_a_clients_certificate_needs_its_key(tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    certificate.touch()
    key.touch()
    with pytest.raises(BadRedisUrl, match="only one of"):
        parse_redis_url(f"rediss://host?ssl_certfile={certificate}")
    both = parse_redis_url(f"rediss://host?ssl_certfile={certificate}&ssl_keyfile={key}")
    assert both.files == {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def test_what_is_shown_holds_neither_user_nor_password() -> None:
    parts = parse_redis_url(f"rediss://{SECRET}:{SECRET}@[::1]:6379/1")
    assert parts.shown == "rediss://[::1]:6379/1"
    assert SECRET not in repr(parts).replace(f"username='{SECRET}'", "")
