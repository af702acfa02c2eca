"""The trace that a task brings, or gets."""

import json
from uuid import uuid4

import pytest

from support.job_side import document, some_session
from wearon.platform.base import Channel
from wearon.queue.task import GenerationTask, Rejected, read_task

TRACE = "0af7651916cd43dd8448eb211c80319c"
GOOD = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_tasks_trace_goes_with_it() -> None:
    task = read_task(document(some_session(), traceparent=GOOD))
    assert isinstance(task, GenerationTask)
    assert task.trace_id == TRACE
    assert task.model_dump(mode="json")["traceparent"] == GOOD


@pytest.mark.parametrize("bad", [None, "", "rubbish", 5, True, ["x"], {"a": 1}, GOOD.upper(), "x" * 50_000])
def test_a_bad_one_is_no_reason_to_reject_a_task_and_its_trace_is_its_sessions(bad: object) -> None:
    ref = some_session(Channel.B2B)
    task = read_task(document(ref, traceparent=bad))
    assert isinstance(task, GenerationTask)
    assert task.trace_id == ref.session_id.replace("-", "")


def test_what_is_no_task_keeps_its_trace_as_far_as_it_has_one() -> None:
    ref = some_session()
    for traceparent, trace_id in ((GOOD, TRACE), ("rubbish", ref.session_id.replace("-", ""))):
        rejected = read_task(document(ref, image_urls=[], traceparent=traceparent))
        assert isinstance(rejected, Rejected)
        assert rejected.trace_id == trace_id
    nothing = read_task(json.dumps({"task_id": str(uuid4())}).encode())
    assert isinstance(nothing, Rejected)
    assert nothing.trace_id is None


def test_a_session_of_zeros_makes_no_trace() -> None:
    task = read_task(document(some_session(), session_id="00000000-0000-0000-0000-000000000000"))
    assert isinstance(task, GenerationTask)
    assert task.trace_id is None
