"""Names that are never answered, and all the others. No packet leaves: getaddrinfo is a stand-in."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from wearon.net import addresses
from wearon.net.addresses import SystemResolver

PLENTY_S = 30.0


class Names:
    """getaddrinfo: names that begin with "slow" are not answered before `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answer.wait(PLENTY_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 0))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.answer.set()


async def asked(names: Names, count: int) -> None:
    async with asyncio.timeout(PLENTY_S):
        while len(names.asked) < count:  # noqa: ASYNC110 - another thread asks
            await asyncio.sleep(0.01)


async def slow(resolver: SystemResolver, hosts: list[str]) -> list[asyncio.Task[Any]]:
    """Ask for all of them; those who asked have gone again, as they do when their deadline comes."""
    return [asyncio.create_task(resolver(host)) for host in hosts]


async def ended(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_names_that_never_answer_do_not_keep_others_waiting(names: Names) -> None:
    resolver = SystemResolver()
    many = addresses._LOOK_UPS - 1
    given_up = await slow(resolver, [f"slow.{number}.example" for number in range(many)])
    await asked(names, many)
    await ended(given_up)  # nobody waits for them any more, but the system does
    assert await asyncio.wait_for(resolver("cdn.honest.example"), PLENTY_S)


async def test_a_name_that_has_answered_before_is_not_kept_by_any_number_of_others(names: Names) -> None:
    resolver = SystemResolver()
    await resolver("cdn.honest.example")
    tasks = await slow(resolver, [f"slow.{number}.example" for number in range(3 * addresses._LOOK_UPS)])
    await asked(names, 1 + addresses._LOOK_UPS)
    for _ in range(3):
        assert await asyncio.wait_for(resolver("cdn.honest.example"), PLENTY_S)
    assert names.asked.count("cdn.honest.example") == 4  # each time anew
    assert len(names.asked) == 4 + addresses._LOOK_UPS
    await ended(tasks)


async def test_the_names_of_one_domain_get_a_share(names: Names) -> None:
    resolver = SystemResolver()
    share = addresses._LOOK_UPS_OF_A_DOMAIN
    tasks = await slow(resolver, [f"slow{number}.attacker.example" for number in range(2 * share)])
    await asked(names, share)
    assert await asyncio.wait_for(resolver("www.other.example"), PLENTY_S)
    assert len(names.asked) == share + 1
    await ended(tasks)


async def test_errors_and_room_come_back(names: Names) -> None:
    resolver = SystemResolver()
    for number in range(2 * addresses._LOOK_UPS):
        with pytest.raises(socket.gaierror, match="not known"):
            await asyncio.wait_for(resolver(f"unknown{number}.example"), PLENTY_S)
    names.answer.set()
    with pytest.raises(socket.gaierror, match="no answer"):
        await asyncio.wait_for(resolver("slow.example"), PLENTY_S)


async def test_a_name_that_the_codec_refuses_is_an_error_of_the_name() -> None:
    with pytest.raises(UnicodeError):
        await asyncio.wait_for(SystemResolver()("a" * 64 + ".\u00e4.example"), PLENTY_S)
