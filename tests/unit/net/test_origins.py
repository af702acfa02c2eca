"""Reading URLs and origins: strictly, and in one way."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wearon.net.origins import MAX_URL_LENGTH, Origin, Target


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://abc.supabase.co", Origin("https", "abc.supabase.co", 443)),
        ("https://abc.supabase.co/", Origin("https", "abc.supabase.co", 443)),
        ("HTTPS://ABC.Supabase.CO:443", Origin("https", "abc.supabase.co", 443)),
        ("http://localhost:54321", Origin("http", "localhost", 54321)),
        ("http://supabase_kong:8000", Origin("http", "supabase_kong", 8000)),
        ("http://10.0.0.5", Origin("http", "10.0.0.5", 80)),
        ("http://[::1]:9000", Origin("http", "::1", 9000)),
        ("http://[0:0:0:0:0:0:0:1]:9000", Origin("http", "::1", 9000)),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_origins_are_read(text: str, origin: Origin) -> None:
    assert Origin.parse(text) == origin
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc.supabase.co",
        "abc.supabase.co:443",
        "//abc.supabase.co",
        "ftp://abc.supabase.co",
        "https://",
        "https:///",
        "https://*",
        "https://*.supabase.co",
        "https://abc.supabase.co/storage",
        "https://abc.supabase.co?x=1",
        "https://abc.supabase.co?",
        "https://abc.supabase.co#",
        "https://user@abc.supabase.co",
        "https://abc.supabase.co.",
        "https://abc.supabase.co:0",
        "https://abc.supabase.co:65536",
        "https://abc.supabase.co:https",
        "https://abc.supabase.co:",
        "http://127.1",
        "http://[::1",
        "http://[fe80::1%25eth0]",
        "https://abc.supabase.co, https://other.example",
    ],
)
def test_what_is_not_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|origin|host|port"):
        Origin.parse(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://storage.example", "https://storage.example"),
        ("http://storage.example", "http://storage.example:8080"),
        ("http://storage.example", "http://www.storage.example"),
        ("http://127.0.0.1", "http://localhost"),
    ],
)
def test_scheme_host_and_port_all_count(one: str, other: str) -> None:
    assert Origin.parse(one) != Origin.parse(other)


def test_a_target_is_what_is_asked_and_whom() -> None:
    target = Target.parse("https://Shop.example:8443/a b".replace(" ", "%20") + "?token=x%2Fy&ü=1#fragment")
    assert target == Target(Origin("https", "shop.example", 8443), b"/a%20b?token=x%2Fy&%C3%BC=1")


def test_a_url_without_path_asks_for_the_root() -> None:
    assert Target.parse("https://shop.example").path == b"/"
    assert Target.parse("https://shop.example?x").path == b"/?x"


def test_urls_have_a_limit() -> None:
    url = "https://shop.example/".ljust(MAX_URL_LENGTH, "a")
    assert Target.parse(url).path.endswith(b"aaa")
    with pytest.raises(ValueError, match="longer than 8192"):
        Target.parse(url + "a")


TOKEN = "c0ffee-secret"


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://shop.example/a?token={TOKEN}",
        f"https://shop.example:99999/a?token={TOKEN}",
        f"https://{TOKEN}@shop.example/",
        f"https://{TOKEN}\\shop.example/",
        f"https://-{TOKEN}-/",
        f"https://[{TOKEN}]/",
        f"https://shop.example/\x00?token={TOKEN}",
        f"https://shop.example/\ud800?token={TOKEN}",
    ],
)
def test_a_refusal_does_not_repeat_the_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host|port") as caught:
        Target.parse(url)
    assert TOKEN not in str(caught.value)


PARTS = st.sampled_from(
    [
        *("http://", "https://", "HTTP:", "//", "/", "\\", "@", ":", "[", "]", "%", "%00", "%2e", ".", "?", "#"),
        *("127.0.0.1", "0x7f", "0177", "localhost", "shop.example", "user:pass", "80", "-1", "::1", "fe80::1%eth0"),
        *("\uff18\uff10", "\u3002", "\u2460", "xn--", "ü", "\ud800", "\t", "\n", " ", "\x00"),
    ]
)


@given(st.one_of(st.text(), st.lists(PARTS).map("".join), st.text().map("http://{}".format)))
@example("http://[" + "1:" * 5000)
@example("http://" + "a." * 3000)
@example("http://xn--a")
@example("http://xn--" + "a" * 80)
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        target = Target.parse(text)
    except ValueError:
        return
    origin = target.origin
    assert origin.scheme in {"http", "https"}
    assert 1 <= origin.port <= 65535
    assert origin.host.isascii()
    assert origin.host == origin.host.lower().strip(".")
    assert not set(origin.host) & set("@/\\%?#[] ")
    assert target.path.startswith(b"/")
    assert not set(target.path) & set(b"\r\n \x00#")
    # Reading what was read gives the same again: nobody downstream can understand it differently.
    assert Target.parse(f"{origin}{target.path.decode('ascii')}") == target
