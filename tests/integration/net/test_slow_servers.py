"""Servers that send a byte now and then, and everybody else's pictures. Strangers, played on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address

import httpcore
import pytest
import pytest_asyncio

from support.hostile_server import HostileServer
from support.job_side import new_input_images
from support.observers import observers
from wearon.net import fetch
from wearon.net.addresses import IPAddress
from wearon.net.fetch import FetchError, PictureFetcher
from wearon.resources.work import Purpose, work_for

PLENTY_S = 60.0
TLS = ssl.create_default_context()
CONNECTIONS = 6


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


@pytest_asyncio.fixture
async def fetcher(server: HostileServer) -> AsyncIterator[PictureFetcher]:
    class Connector(httpcore.AnyIOBackend):
        async def connect_tcp(
            self, host: str, port: int, *args: object, **options: object
        ) -> httpcore.AsyncNetworkStream:
            return await super().connect_tcp("127.0.0.1", server.port)

    async def somewhere(host: str) -> list[IPAddress]:
        return [ip_address("93.184.216.34")]

    fetcher = PictureFetcher(
        **observers(),
        trusted_origins=[server.origin],
        max_connections=CONNECTIONS,
        resolver=somewhere,
        connector=Connector(),
        tls=TLS,
    )
    yield fetcher
    await fetcher.aclose()


async def ended(tasks: list[asyncio.Task[bytes]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def attacks(fetcher: PictureFetcher, hosts: list[str], owner: str = "") -> list[asyncio.Task[bytes]]:
    with work_for(Purpose.GENERATION, owner):
        return [asyncio.create_task(fetcher.fetch(f"http://{host}/silent", deadline_s=PLENTY_S)) for host in hosts]


async def test_slots_of_generations_are_none_of_an_estimate_s(server: HostileServer, fetcher: PictureFetcher) -> None:
    slow = attacks(fetcher, [f"slow{number}.example" for number in range(10)])
    await server.saw(b"GET /silent", times=CONNECTIONS)
    assert await fetcher.fetch("http://cdn.example/picture", deadline_s=PLENTY_S) == server.picture
    with work_for(Purpose.ANSWER):
        assert await fetcher.fetch("http://cdn.example/picture", deadline_s=PLENTY_S) == server.picture
    await ended(slow)


@pytest.mark.parametrize("hosts", [["slow.example"] * 10, [f"slow{number}.example" for number in range(10)]])
async def test_no_host_and_no_owner_gets_all_slots(
    server: HostileServer, fetcher: PictureFetcher, hosts: list[str]
) -> None:
    slow = attacks(fetcher, hosts, owner="one shop")
    await server.saw(b"GET /silent", times=4)
    with work_for(Purpose.GENERATION, "another shop"):
        assert await fetcher.fetch("http://cdn.example/picture", deadline_s=PLENTY_S) == server.picture
    assert sum(head.startswith(b"GET /silent") for head in server.heads) == 4
    await ended(slow)


@pytest.mark.parametrize("path", ["slow-drip", "silent"])
async def test_what_comes_too_slowly_is_given_up(
    server: HostileServer, fetcher: PictureFetcher, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(fetch, "_SLOW_AFTER_S", 0.2)
    for origin, transient in (("http://slow.example", False), (server.origin, True)):
        with pytest.raises(FetchError, match="came too slowly") as caught:
            await fetcher.fetch(f"{origin}/{path}", deadline_s=PLENTY_S)
        assert caught.value.transient is transient  # our own storage may be better later


async def test_a_fast_one_may_take_longer_than_that(
    server: HostileServer, fetcher: PictureFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_SLOW_AFTER_S", 1.5)
    monkeypatch.setattr(fetch, "_LEAST_BYTES_A_S", 1)
    server.picture = bytes(100_000)
    server.pause_s = 2.0
    assert await fetcher.fetch("http://cdn.example/two-halves", deadline_s=PLENTY_S) == server.picture


async def test_honest_tasks_get_through_between_hostile_ones(
    server: HostileServer, fetcher: PictureFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_SLOW_AFTER_S", 3.0)

    async def prepare(data: bytes) -> bytes:
        return data

    photos = new_input_images(fetcher, prepare)
    hostile = [
        asyncio.create_task(photos.prepared([f"http://slow{task}.example/slow-drip?{n}" for n in range(10)]))
        for task in range(6)
    ]
    await server.saw(b"GET /slow-drip", times=CONNECTIONS)
    urls = ["http://cdn.example/picture?a", "http://cdn.example/picture?b"]
    assert await asyncio.wait_for(photos.prepared(urls), PLENTY_S) == [server.picture] * 2
    seen = sum(head.startswith(b"GET /slow-drip") for head in server.heads)
    assert seen <= 3 * CONNECTIONS  # of 60: they had not to be waited for
    await asyncio.gather(*hostile, return_exceptions=True)
