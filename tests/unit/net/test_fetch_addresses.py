"""Which addresses the downloader connects to. Recorders resolve the names and make the connections: nothing is sent."""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

import httpcore
import httpx
import pytest

from support.observers import observers
from wearon.net.addresses import IPAddress
from wearon.net.fetch import FetchError, PictureFetcher

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 7\r\n\r\npicture"
PUBLIC = "93.184.215.14"
TLS = ssl.create_default_context()


class RecordingResolver:
    """Answers from a list per name: each look-up takes the next answer, the last one stays."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[IPAddress]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(address) for address in answer]


class RecordingStream(httpcore.AsyncMockStream):
    """Gives a picture, and remembers what was said to it."""

    def __init__(self) -> None:
        super().__init__([ANSWER])
        self.written = b""
        self.server_hostname: str | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.written += buffer

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self.server_hostname = server_hostname
        self.verified = ssl_context.check_hostname and ssl_context.verify_mode is ssl.CERT_REQUIRED
        return self


class RecordingConnector(httpcore.AsyncNetworkBackend):
    """Connects to nothing; addresses in `deaf` do not answer."""

    def __init__(self, deaf: Iterable[str] = ()) -> None:
        self.deaf = set(deaf)
        self.tried: list[tuple[str, int]] = []
        self.streams: list[RecordingStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append((host, port))
        if host in self.deaf:
            raise httpcore.ConnectTimeout
        self.streams.append(RecordingStream())
        return self.streams[-1]


class RecordingTransport(httpx.AsyncBaseTransport):
    """Takes what goes to trusted origins, and gives a picture."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        port = request.url.port or {"http": 80, "https": 443}[request.url.scheme]
        self.asked.append((request.url.scheme, request.url.host, port))
        return httpx.Response(200, headers={"Content-Type": "image/png"}, stream=httpx.ByteStream(b"picture"))


class World:
    """A fetcher between a recording resolver, a recording connector, and a recording transport for trusted origins."""

    def __init__(self, resolver: RecordingResolver, *, trusted: Iterable[str] = (), deaf: Iterable[str] = ()) -> None:
        self.resolver = resolver
        self.connector = RecordingConnector(deaf)
        self.trusted = RecordingTransport()
        self.fetcher = PictureFetcher(
            **observers(),
            trusted_origins=trusted,
            resolver=resolver,
            connector=self.connector,
            trusted_transport=self.trusted,
            tls=TLS,
        )

    async def fetch(self, url: str) -> bytes:
        return await self.fetcher.fetch(url, deadline_s=60.0)

    async def refusal(self, url: str) -> FetchError:
        with pytest.raises(FetchError) as caught:
            await self.fetch(url)
        return caught.value


INWARD = {  # and the reason that is given, as a regular expression
    # Loopback, this machine
    "http://127.0.0.1/": "not on the public internet",
    "http://127.0.0.1:6379/": "not on the public internet",
    "https://127.0.0.1/": "not on the public internet",
    "http://127.255.255.254/": "not on the public internet",
    "http://0.0.0.0/": "not on the public internet",
    "http://0.0.0.0:8000/": "not on the public internet",
    "http://localhost/": "not on the public internet",
    "http://LOCALHOST/": "not on the public internet",
    "http://localhost.localdomain/": "not on the public internet",
    "http://redis:6379/": "not on the public internet",
    # Loopback in unusual spellings: decimal, octal, hexadecimal, short, padded, overflowing
    "http://2130706433/": "unusual spelling",
    "http://017700000001/": "unusual spelling",
    "http://0x7f000001/": "unusual spelling",
    "http://0X7F000001/": "unusual spelling",
    "http://0x7f.1/": "unusual spelling",
    "http://0x7f.0.0.1/": "not a valid URL|unusual spelling",
    "http://0177.0.0.1/": "not a valid URL|unusual spelling",
    "http://0177.0.0.01/": "not a valid URL|unusual spelling",
    "http://00000177.0.0.1/": "not a valid URL|unusual spelling",
    "http://127.000.000.001/": "not a valid URL|unusual spelling",
    "http://127.1/": "unusual spelling",
    "http://127.0.1/": "unusual spelling",
    "http://127.0.0.0x1/": "unusual spelling",
    "http://127.65535/": "unusual spelling",
    "http://0/": "unusual spelling",
    "http://1/": "unusual spelling",
    "http://0x/": "unusual spelling",
    "http://0x7f.0x0.0x0.0x1/": "unusual spelling",
    "http://4294967297/": "unusual spelling",
    "http://425.510.425.510/": "not a valid URL|unusual spelling",
    "http://127.0.0.1.1/": "unusual spelling",
    "http://foo.127.0.0.1/": "unusual spelling",
    "http://3232235521/": "unusual spelling",
    "http://2852039166/": "unusual spelling",
    "http://0xa9fea9fe/": "unusual spelling",
    "http://0251.0376.0251.0376/": "not a valid URL|unusual spelling",
    "http://169.254.43518/": "unusual spelling",
    "http://10.1/": "unusual spelling",
    # Dots
    "http://127.0.0.1./": "ends in a dot",
    "http://localhost./": "ends in a dot",
    "http://example.com./": "ends in a dot",
    "http://169.254.169.254./": "ends in a dot",
    "http://example..com/": "not a valid name",
    "http://.example.com/": "not a valid name",
    "http://./": "ends in a dot",
    "http://127。0。0。1/": "not on the public internet",
    "http://127.0.0.1。/": "ends in a dot",
    # Digits that only look like digits, and other Unicode
    "http://１２７.0.0.1/": "not a valid URL",  # noqa: RUF001 - full-width digits are the point
    "http://①②⑦.⓪.⓪.①/": "not a valid URL",
    "http://ⓛocalhost/": "not a valid URL",
    "http://127.0.0.1\u200b/": "not a valid URL",
    "http://local\u00adhost/": "not a valid URL",
    # Private and shared networks, cloud metadata
    "http://10.0.0.1/": "not on the public internet",
    "http://172.16.0.1/": "not on the public internet",
    "http://172.31.255.255/": "not on the public internet",
    "http://192.168.1.1/": "not on the public internet",
    "http://100.64.0.1/": "not on the public internet",
    "http://169.254.169.254/latest/meta-data/": "not on the public internet",
    "http://169.254.170.2/": "not on the public internet",
    "http://100.100.100.200/": "not on the public internet",
    "http://168.63.129.16/": "not on the public internet",
    "http://192.0.0.192/": "not on the public internet",
    "http://metadata.google.internal/": "not on the public internet",
    # Other special purposes
    "http://192.0.2.1/": "not on the public internet",
    "http://192.88.99.1/": "not on the public internet",
    "http://198.18.0.1/": "not on the public internet",
    "http://198.51.100.1/": "not on the public internet",
    "http://203.0.113.1/": "not on the public internet",
    "http://224.0.0.1/": "not on the public internet",
    "http://240.0.0.1/": "not on the public internet",
    "http://255.255.255.255/": "not on the public internet",
    # IPv6
    "http://[::1]/": "not on the public internet",
    "http://[::]/": "not on the public internet",
    "http://[0:0:0:0:0:0:0:1]/": "not on the public internet",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/": "not on the public internet",
    "http://[fe80::1]/": "not on the public internet",
    "http://[fc00::1]/": "not on the public internet",
    "http://[fd00:ec2::254]/": "not on the public internet",
    "http://[fec0::1]/": "not on the public internet",
    "http://[ff02::1]/": "not on the public internet",
    "http://[2001:db8::1]/": "not on the public internet",
    "http://[3fff::1]/": "not on the public internet",
    "http://[100::1]/": "not on the public internet",
    "http://[5f00::1]/": "not on the public internet",
    # IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo
    "http://[::ffff:127.0.0.1]/": "not on the public internet",
    "http://[::ffff:7f00:1]/": "not on the public internet",
    "http://[::FFFF:7F00:0001]/": "not on the public internet",
    "http://[::ffff:169.254.169.254]/": "not on the public internet",
    "http://[::ffff:8.8.8.8]/": "not on the public internet",
    "http://[0:0:0:0:0:ffff:10.0.0.1]/": "not on the public internet",
    "http://[::127.0.0.1]/": "not on the public internet",
    "http://[::ffff:0:127.0.0.1]/": "not on the public internet",
    "http://[64:ff9b::127.0.0.1]/": "not on the public internet",
    "http://[64:ff9b::a00:1]/": "not on the public internet",
    "http://[64:ff9b::169.254.169.254]/": "not on the public internet",
    "http://[64:ff9b:1::10.0.0.1]/": "not on the public internet",
    "http://[2002:7f00:1::]/": "not on the public internet",
    "http://[2002:c0a8:101::1]/": "not on the public internet",
    "http://[2002:a9fe:a9fe::1]/": "not on the public internet",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/": "not on the public internet",
    # Zone ids, and IPv6 that is none
    "http://[fe80::1%25eth0]/": "zone id|not a valid URL",
    "http://[fe80::1%eth0]/": "zone id|not a valid URL",
    "http://[::1%25lo]/": "zone id|not a valid URL",
    "http://[2606:4700::1%251]/": "zone id|not a valid URL",
    "http://[::1]x/": "not a valid one|not a valid URL",
    "http://[127.0.0.1]/": "not a valid URL|not a valid one",
    "http://[::1/": "not a valid one",
    "http://::1/": "not a valid one",
    "http://[::ffff:127.1]/": "not a valid URL",
    "http://[v1.fe80]/": "not a valid URL",
    # Credentials, and other ways to hide the host
    "http://user@93.184.215.14/": "credentials",
    "http://user:pass@93.184.215.14/": "credentials",
    "http://@93.184.215.14/": "credentials",
    "http://93.184.215.14@127.0.0.1/": "credentials",
    "http://93.184.215.14:80@127.0.0.1/": "credentials",
    "http://127.0.0.1\\@93.184.215.14/": "backslash",
    "http://93.184.215.14\\.127.0.0.1/": "backslash",
    "http:\\\\127.0.0.1/": "backslash",
    "http://127.0.0.1%2f@93.184.215.14/": "credentials",
    "http://%31%32%37.0.0.1/": "not a valid name",
    "http://127.0.0.1%00.example.com/": "not a valid name",
    "http://127.0.0.1\x00.example.com/": "control character",
    "http://127.0.0.1\t/": "control character",
    "http://exa\nmple.com/": "control character",
    " http://127.0.0.1/": "a space",
    "http://127.0.0.1 .example.com/": "a space",
    # Other schemes
    "": "not an http or https one",
    "127.0.0.1": "not an http or https one",
    "//127.0.0.1/": "not an http or https one",
    "http:127.0.0.1": "not an http or https one",
    "http:/127.0.0.1/": "not an http or https one",
    "file:///etc/passwd": "not an http or https one",
    "ftp://93.184.215.14/": "not an http or https one",
    "gopher://127.0.0.1:6379/_FLUSHALL": "not an http or https one",
    "dict://127.0.0.1:6379/info": "not an http or https one",
    "data:image/png;base64,AAAA": "not an http or https one",
    "javascript:alert(1)": "not an http or https one",
    "unix:///var/run/docker.sock": "not an http or https one",
    "httpx://93.184.215.14/": "not an http or https one",
    "url:http://93.184.215.14/": "not an http or https one",
    # Hosts and ports that are none
    "http:///": "not a valid one",
    "http://:80/": "not a valid one",
    "http://?x": "not a valid one",
    "http://93.184.215.14:0/": "port",
    "http://93.184.215.14:65536/": "port",
    "http://93.184.215.14:-1/": "not a valid one",
    "http://93.184.215.14:+80/": "not a valid one",
    "http://93.184.215.14:8_0/": "not a valid one",
    "http://93.184.215.14:８０/": "not a valid one",  # noqa: RUF001 - full-width digits are the point
    "http://93.184.215.14:80:80/": "not a valid one",
    "http://*.example.com/": "not a valid name",
    "http://exa mple.com/": "a space",
    "http://-example.com/": "not a valid name",
}


@pytest.mark.parametrize("url", INWARD)
async def test_no_spelling_of_an_address_that_is_not_public_is_connected_to(url: str) -> None:
    inside = [["127.0.0.1"]]
    resolver = RecordingResolver(
        localhost=inside, localhost_localdomain=inside, redis=[["172.18.0.2"]],
        metadata_google_internal=[["169.254.169.254"]],
    )  # fmt: skip
    world = World(resolver)
    refusal = await world.refusal(url)
    assert world.connector.tried == []
    assert not refusal.transient
    assert re.search(INWARD[url], refusal.reason)


def test_the_table_is_as_long_as_was_asked_for() -> None:
    assert len(INWARD) >= 80


@pytest.mark.parametrize(
    ("url", "connected"),
    [
        ("http://93.184.215.14/", ("93.184.215.14", 80)),
        ("https://93.184.215.14/", ("93.184.215.14", 443)),
        ("http://93.184.215.14:8080/", ("93.184.215.14", 8080)),
        ("http://[2606:4700::1111]/", ("2606:4700::1111", 80)),
        ("http://[64:ff9b::8.8.8.8]/", ("64:ff9b::808:808", 80)),
        ("https://shop.example/", (PUBLIC, 443)),
        ("HTTPS://SHOP.EXAMPLE/", (PUBLIC, 443)),
        ("https://xn--bcher-kva.example/", (PUBLIC, 443)),
        ("https://bücher.example/", (PUBLIC, 443)),
        ("https://127.0.0.1.shop.example/", (PUBLIC, 443)),
        ("https://0x7f.shop.example/", (PUBLIC, 443)),
    ],
)
async def test_public_addresses_are_connected_to(url: str, connected: tuple[str, int]) -> None:
    resolver = RecordingResolver(shop_example=[[PUBLIC]])
    for name in ("xn--bcher-kva.example", "127.0.0.1.shop.example", "0x7f.shop.example"):
        resolver.names[name] = [[PUBLIC]]
    world = World(resolver)
    assert await world.fetch(url) == b"picture"
    assert world.connector.tried == [connected]


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "1.1.1.1", "8.8.8.8", "9.9.9.9", "8.8.4.4", "127.0.0.1"],
        [PUBLIC, "::1"],
        ["2606:4700::1111", "fe80::1"],
        ["2606:4700::1111", "64:ff9b::10.0.0.1"],
    ],
)
async def test_a_name_with_one_private_address_is_refused_as_a_whole(addresses: list[str]) -> None:
    world = World(RecordingResolver(shop_example=[addresses]))
    refusal = await world.refusal("http://shop.example/a.jpg")
    assert (refusal.reason, refusal.transient) == ("its address is not on the public internet", False)
    assert world.connector.tried == []


async def test_the_checked_address_is_the_one_connected_to_when_the_name_changes_its_mind() -> None:
    world = World(RecordingResolver(rebind_example=[[PUBLIC], ["127.0.0.1"]]))
    assert await world.fetch("http://rebind.example/a.jpg") == b"picture"
    assert world.resolver.asked == ["rebind.example"]  # once: there is no second look-up to answer differently
    assert world.connector.tried == [(PUBLIC, 80)]


async def test_a_name_that_was_good_before_is_checked_again() -> None:
    world = World(RecordingResolver(rebind_example=[[PUBLIC], ["127.0.0.1"]]))
    await world.fetch("http://rebind.example/a.jpg")
    await world.refusal("http://rebind.example/a.jpg")
    assert world.connector.tried == [(PUBLIC, 80)]


async def test_host_header_and_tls_name_are_those_of_the_url() -> None:
    world = World(RecordingResolver(shop_example=[[PUBLIC]]))
    await world.fetch("https://shop.example/a.jpg")
    await world.fetch("https://shop.example:8443/a.jpg")
    await world.fetch("http://[2606:4700::1111]:8080/a.jpg")
    default, other_port, ipv6 = world.connector.streams
    assert b"\r\nHost: shop.example\r\n" in default.written
    assert default.server_hostname == "shop.example"
    assert default.verified
    assert b"\r\nHost: shop.example:8443\r\n" in other_port.written
    assert b"\r\nHost: [2606:4700::1111]:8080\r\n" in ipv6.written


async def test_nothing_of_us_is_told_to_strangers() -> None:
    world = World(RecordingResolver(shop_example=[[PUBLIC]]))
    await world.fetch("https://shop.example/a.jpg?x=1")
    head, *headers = world.connector.streams[0].written.decode().strip().split("\r\n")
    assert head == "GET /a.jpg?x=1 HTTP/1.1"
    names = {header.partition(":")[0].lower() for header in headers}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert "Accept-Encoding: identity" in headers


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    world = World(RecordingResolver(shop_example=[["2606:4700::1111", PUBLIC]]), deaf=["2606:4700::1111"])
    assert await world.fetch("http://shop.example/a.jpg") == b"picture"
    assert world.connector.tried == [("2606:4700::1111", 80), (PUBLIC, 80)]


async def test_a_name_with_many_deaf_addresses_is_given_up() -> None:
    addresses = [f"93.184.215.{number}" for number in range(50)]
    world = World(RecordingResolver(shop_example=[addresses]), deaf=addresses)
    refusal = await world.refusal("http://shop.example/a.jpg")
    assert refusal.transient
    assert len(world.connector.tried) == 4


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (UnicodeError("label too long"), False),
    ],
)
async def test_a_name_that_is_not_known(error: Exception, *, transient: bool) -> None:
    async def failing(host: str) -> Sequence[IPAddress]:
        raise error

    connector = RecordingConnector()
    fetcher = PictureFetcher(**observers(), trusted_origins=[], resolver=failing, connector=connector, tls=TLS)
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch("http://nowhere.example/", deadline_s=60.0)
    assert (caught.value.reason, caught.value.transient) == ("its host name is not known", transient)
    assert connector.tried == []


async def test_a_name_without_addresses_is_not_known() -> None:
    refusal = await World(RecordingResolver(empty_example=[[]])).refusal("http://empty.example/")
    assert (refusal.reason, refusal.transient) == ("its host name is not known", False)


async def test_looking_up_a_name_counts_towards_the_deadline() -> None:
    async def hanging(host: str) -> Sequence[IPAddress]:
        await asyncio.Event().wait()
        return []

    fetcher = PictureFetcher(
        **observers(), trusted_origins=[], resolver=hanging, connector=RecordingConnector(), tls=TLS
    )
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch("http://slow.example/", deadline_s=0.05)
    assert caught.value.transient


async def test_trusted_origins_may_be_private_and_are_not_looked_up_by_us() -> None:
    trusted = ["http://10.0.0.5:8000", "http://kong:8000", "http://[::1]:9000"]
    world = World(RecordingResolver(), trusted=trusted)
    for origin in trusted:
        assert await world.fetch(f"{origin}/a.jpg") == b"picture"
    assert world.trusted.asked == [("http", "10.0.0.5", 8000), ("http", "kong", 8000), ("http", "::1", 9000)]
    assert (world.connector.tried, world.resolver.asked) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5:6379/",  # Redis, on the same machine
        "http://10.0.0.5/",
        "https://10.0.0.5:8000/",
        "http://10.0.0.6:8000/",
        "http://10.0.0.5.:8000/",
        "http://10.5:8000/",
        "http://0xa000005:8000/",
        "http://[::ffff:10.0.0.5]:8000/",
        "http://user@10.0.0.5:8000/",
        "http://alias.example:8000/",
        "http://10.0.0.5:8000@10.0.0.6/",
    ],
)
async def test_trust_is_for_the_exact_origin_only(url: str) -> None:
    world = World(RecordingResolver(alias_example=[["10.0.0.5"]]), trusted=["http://10.0.0.5:8000"])
    await world.fetch("http://10.0.0.5:8000/warm.jpg")
    await world.refusal(url)
    assert world.trusted.asked == [("http", "10.0.0.5", 8000)]
    assert world.connector.tried == []


def test_a_trusted_origin_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="origin"):
        PictureFetcher(**observers(), trusted_origins=["https://abc.supabase.co/storage/v1"])


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://project.supabase.co/storage/v1/x?token=t", True),
        ("https://PROJECT.supabase.co:443/x", True),
        ("http://project.supabase.co/x", False),
        ("https://project.supabase.co:8443/x", False),
        ("https://project.supabase.co.evil.example/x", False),
        ("https://user@project.supabase.co/x", False),
        ("no url", False),
    ],
)
async def test_only_the_exact_origin_is_trusted(url: str, trusted: bool) -> None:
    fetcher = PictureFetcher(**observers(), trusted_origins=["https://project.supabase.co"])
    assert fetcher.trusts(url) == trusted
    await fetcher.aclose()
