"""Calls that nobody answers: an outage when what is free is not answered either."""

import asyncio
from collections.abc import Callable

import pytest

from wearon.dependencies import Dependencies
from wearon.tryon.openai import silence
from wearon.tryon.openai.silence import SilenceWatch


class Service:
    """Answers calls and what is free, or does not."""

    def __init__(self) -> None:
        self.dependencies = Dependencies()
        self.watch = SilenceWatch(self.somebody_answers, self.dependencies)
        self.answers = False
        self.looks = 0

    async def somebody_answers(self) -> bool:
        self.looks += 1
        return self.answers

    async def call(self, answer: asyncio.Future[None]) -> None:
        with self.watch.waiting():
            await answer

    @property
    def words(self) -> list[str]:
        return [refusal.words for refusal in self.dependencies.refusals]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(silence, "SILENT_S", 0.01)
    return Service()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)


def answer() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_silence_is_named_until_what_is_free_is_answered(service: Service) -> None:
    call = asyncio.create_task(service.call(answer()))
    await until(lambda: service.words == ["OpenAI does not answer"])
    service.answers = True
    await until(lambda: not service.words)
    assert not call.done()
    call.cancel()
    service.watch.close()


async def test_a_picture_that_takes_its_time_is_no_outage(service: Service) -> None:
    service.answers = True
    slow = answer()
    call = asyncio.create_task(service.call(slow))
    await until(lambda: service.looks == 3)
    assert service.words == []
    slow.set_result(None)
    await call


async def test_an_answer_to_one_call_speaks_for_all(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [answer(), answer()]
    calls = [asyncio.create_task(service.call(each)) for each in answers]
    await until(lambda: service.words)
    monkeypatch.setattr(silence, "SILENT_S", 60.0)
    answers[0].set_result(None)
    await calls[0]
    assert service.words == []
    calls[1].cancel()
    service.watch.close()


async def test_it_is_looked_for_the_end_of_an_outage_when_no_call_runs_any_more(service: Service) -> None:
    call = asyncio.create_task(service.call(answer()))
    await until(lambda: service.words)
    call.cancel()
    looks = service.looks
    await until(lambda: service.looks > looks)
    service.answers = True
    await until(lambda: not service.words)
    assert service.watch._watching is not None
    await service.watch._watching  # and nothing is asked any more
