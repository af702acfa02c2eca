"""A run tells of itself by events."""

import asyncio

import pytest

from wearon.events import Events
from wearon.observability.tracing import Tracing
from wearon.platform.base import Channel, SessionRef
from wearon.tryon.run import ImageRequested, Outcome, Run, RunEnded, Runs, StepEnded, StepName

REF = SessionRef(Channel.B2C, "6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10", "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11")


async def test_the_wait_for_the_rate_limit_is_a_step_before_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    async def sleep(seconds: float) -> None:
        told.append(seconds)

    events = Events()
    events.subscribe(StepEnded, lambda ended: told.append(ended.step.name))
    events.subscribe(ImageRequested, told.append)
    run, runs = Run(REF, "req_1", 1), Runs(events, Tracing())
    monkeypatch.setattr("wearon.tryon.run.asyncio.sleep", sleep)
    async with runs.follow(run):
        await runs.rate_limited(60.5)
    assert told == [60.5, StepName.RATE_LIMIT, ImageRequested()]
    assert run.calls == 1


@pytest.mark.parametrize(
    ("error", "outcome"), [(asyncio.CancelledError(), Outcome.STOPPED), (OSError("gone"), Outcome.RETRIED)]
)
async def test_a_run_that_leaves_without_a_word_says_how_it_ended(error: BaseException, outcome: Outcome) -> None:
    ended: list[RunEnded] = []
    events = Events()
    events.subscribe(RunEnded, ended.append)
    with pytest.raises(type(error)):
        async with Runs(events, Tracing()).follow(Run(REF, "req_1", 1)):
            raise error
    assert [event.run.outcome for event in ended] == [outcome]
