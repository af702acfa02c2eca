"""The audit log on a real Redis: each action leaves one entry with before and after, or changes nothing."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.history_side import HistorySide
from support.job_side import (
    OPERATOR,
    Buyer,
    FaultyPlatform,
    document,
    enqueue,
    new_audit_log,
    new_dead_letters,
    some_session,
    untyped,
)
from wearon.operations.actions.cancel import Cancellations, Cancelled
from wearon.operations.actions.dead_letters import DeadLetterActions
from wearon.operations.actions.errors import NotThere
from wearon.operations.actions.pause import PauseActions
from wearon.operations.actions.refunds import RefundActions
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.audit_log import BEGUN, MAX_NAMED, Action, Actor, AuditEntry, AuditLog, Facts, Via
from wearon.queue.pauses import FEW_REFUSALS, Pauses
from wearon.refunds.intents import NeedsReview, dump, new_intent

pytestmark = pytest.mark.slow

ADA = Actor("ada@desk", Via.COMMAND)


@pytest.fixture
def audit_log(redis_client: Redis) -> AuditLog:
    return new_audit_log(redis_client)


@pytest.fixture
def pausing(redis_client: Redis, audit_log: AuditLog) -> PauseActions:
    return PauseActions(Pauses(redis_client), audit_log)


async def told(audit_log: AuditLog) -> list[tuple[str, str, str, Facts | None, Facts | None]]:
    """All entries, oldest first, without their time."""
    entries = await audit_log.read(100)
    return [(one.by, one.action, one.about, one.before, one.after) for one in reversed(entries)]


async def test_a_pause_says_what_was_there_before_and_a_secret_in_its_reason_is_nowhere(
    redis_client: Redis, pausing: PauseActions, audit_log: AuditLog
) -> None:
    began = datetime.now(UTC)
    for _ in range(FEW_REFUSALS):
        await Pauses(redis_client).count_refusal("key", "OpenAI refuses our key", "a worker")
    await pausing.pause(None, "rotate a-known-secret, ask me@example.com", ADA)
    assert await pausing.resume(None, OPERATOR)
    assert not await pausing.resume(None, OPERATOR), "nothing was changed"
    reason = "rotate ***, ask ***@***"
    assert await told(audit_log) == [
        (
            "ada@desk", "pause", "the fleet",
            {"paused": True, "kind": "breaker", "by": "a worker", "reason": "OpenAI refuses our key"},
            {"paused": True, "reason": reason},
        ),
        (
            "operator", "resume", "the fleet",
            {"paused": True, "kind": "operator", "by": "ada@desk", "reason": reason},
            {"paused": False},
        ),
    ]  # fmt: skip
    newest, oldest = await audit_log.read(9)
    assert (newest.via, oldest.via) == ("console", "command")
    assert began - timedelta(seconds=2) < oldest.at <= newest.at < datetime.now(UTC) + timedelta(seconds=2)


async def test_of_two_who_retry_one_dead_letter_one_is_named(
    redis_client: Redis, platform: FaultyPlatform, audit_log: AuditLog
) -> None:
    letters = new_dead_letters(redis_client)
    actions = DeadLetterActions(letters, platform, audit_log)
    letter = await letters.add(document(some_session()), "no such session")
    outcomes = await asyncio.gather(*(actions.retry(letter.id, by) for by in (ADA, OPERATOR)), return_exceptions=True)
    assert sum(isinstance(outcome, NotThere) for outcome in outcomes) == 1
    ((by, *rest),) = await told(audit_log)
    assert by in {"ada@desk", "operator"}
    assert rest == ["retry_dead_letters", letter.id, {"dead_letters": 1}, {"pushed": 1, "deleted": 0}]


async def test_a_group_is_one_entry_a_step_and_a_dry_run_is_none(
    redis_client: Redis, platform: FaultyPlatform, audit_log: AuditLog
) -> None:
    letters = new_dead_letters(redis_client)
    actions = DeadLetterActions(letters, platform, audit_log)
    ids = [(await letters.add(b"no JSON %d" % number, "not JSON")).id for number in range(3)]
    (group,) = (await actions.groups()).groups
    await actions.retry_some(group.id, ADA, dry_run=True)
    await actions.retry_some(group.id, ADA)  # none of them can be pushed
    assert await told(audit_log) == []
    await actions.discard_some(group.id, ADA)
    (entry,) = await audit_log.read(9)
    assert (entry.action, entry.about, sorted(entry.ids)) == (
        "discard_dead_letters",
        f"group {group.id}",
        sorted(ids),
    )
    assert (entry.before, entry.after) == ({"dead_letters": 3}, {"pushed": 0, "deleted": 3})


async def test_cancelling_is_written_down_unless_nothing_came_of_it(
    redis_client: Redis, platform: FaultyPlatform, audit_log: AuditLog, buyer: Buyer, tmp_path: Path
) -> None:
    side = HistorySide(redis_client, platform, tmp_path)
    cancellations = Cancellations(redis_client, platform, side.outbox, audit_log)
    waits, runs = await buyer.buy(), await buyer.buy()
    await enqueue(redis_client, waits, runs)
    await untyped(redis_client).hset(keys.RUNNING, (await untyped(redis_client).zrange(keys.JOBS, 0, -1))[1], "w")
    running = await untyped(redis_client).hkeys(keys.RUNNING)
    first, other = (waits, runs) if runs.session_id.encode() in running[0] else (runs, waits)
    assert await cancellations.cancel(other.session_id, ADA) is Cancelled.RUNNING
    assert await told(audit_log) == []
    assert await cancellations.cancel(first.session_id, ADA) is Cancelled.CANCELLED
    assert await cancellations.cancel(first.session_id, ADA) is Cancelled.FAILED
    assert await told(audit_log) == [
        (
            "ada@desk", "cancel", first.session_id,
            {"status": "queued"}, {"status": "to be failed and refunded", "even_if_it_runs": False},
        )
    ]  # fmt: skip


async def test_refunds_are_written_down_with_their_sessions(
    redis_client: Redis, platform: FaultyPlatform, audit_log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = HistorySide(redis_client, platform, tmp_path).outbox
    actions = RefundActions(outbox, audit_log)
    intents = [new_intent(some_session(Channel.B2B), f"req_{n}", "sorry", "a test") for n in range(MAX_NAMED + 1)]
    reviews = {
        intent.key: json.dumps({**json.loads(dump(intent)), "why": "an overage, for me@example.com"})
        for intent in intents
    }
    await untyped(redis_client).hset(keys.REFUNDS_IN_REVIEW, mapping=reviews)
    (group,) = (await actions.list()).groups
    both_have_read, read = asyncio.Barrier(2), outbox.in_review

    async def in_review() -> Sequence[NeedsReview]:
        found = await read()
        await both_have_read.wait()
        return found

    monkeypatch.setattr(outbox, "in_review", in_review)
    done = await asyncio.gather(*(actions.resolve(by, group=group.id) for by in (ADA, OPERATOR)))
    assert sum(map(len, done)) == MAX_NAMED + 1, "each by one of the two"
    entries = await audit_log.read(9)
    named = [session for entry in entries for session in entry.ids]
    assert sorted(named) == sorted(intent.session_id for intent in intents)
    for entry in entries:
        assert entry.before == {"needs_review": True, "why": "an overage, for ***@***"}
        assert entry.after == {"needs_review": False}


async def test_the_log_is_bounded_and_is_read_as_far_back_as_is_asked(redis_client: Redis, audit_log: AuditLog) -> None:
    old = AuditEntry(at_ms=1_700_000_000_000, by="old", action="pause").model_dump_json(exclude={"at"})
    await untyped(redis_client).lpush(keys.AUDIT_LOG, *([old] * 10_000), b"\xff{", b"[]")
    await audit_log.note(ADA, Action.SHOW_PICTURE, "x" * 5000, ids=["y" * 5000] * 500)
    assert await redis_client.llen(keys.AUDIT_LOG) == 10_000
    assert len(await untyped(redis_client).lindex(keys.AUDIT_LOG, 0)) < 40_000
    read = await audit_log.read(500)
    assert len(read) == 500
    assert [one.action for one in read[:4]] == ["show_picture", *["an entry that cannot be read"] * 2, "pause"]
    assert len(await audit_log.read(500, datetime.now(UTC) - timedelta(hours=1))) == 1


async def test_a_key_of_another_kind_keeps_nobody_from_acting(
    redis_client: Redis, pausing: PauseActions, audit_log: AuditLog
) -> None:
    await redis_client.set(keys.AUDIT_LOG, "something else")
    await pausing.pause("b2c", "", ADA)
    assert list(await Pauses(redis_client).list()) == ["b2c"]
    with pytest.raises(Exception, match="has the wrong type"):
        await audit_log.read(9)


async def test_what_takes_long_is_written_down_before_and_completed_after(audit_log: AuditLog) -> None:
    async with (
        audit_log.doing(ADA, Action.REPAIR_BOOKS, "all") as repairing,
        audit_log.doing(ADA, Action.FAIL_ORPHANS, "all") as failing,
    ):
        await audit_log.note(OPERATOR, Action.SHOW_PICTURE, "x")
        assert [(one.action, one.after) for one in await audit_log.read(9)] == [
            ("show_picture", None),
            ("fail_orphans", BEGUN),
            ("repair_books", BEGUN),
        ]
        repairing.came_to({"refunds_made": 2}, ids=["a", "b"])
        failing.changed_nothing()
    newest, other = await audit_log.read(9)
    assert (newest.action, newest.by, newest.after) == ("repair_books", "ada@desk", {"refunds_made": 2})
    assert list(newest.ids) == ["a", "b"]
    assert other.action == "show_picture"


async def test_an_entry_stays_as_begun_when_what_was_done_raises_or_does_not_say_what_came_of_it(
    audit_log: AuditLog,
) -> None:
    with suppress(OSError):
        async with audit_log.doing(ADA, Action.REPAIR_BOOKS, "all") as repairing:
            repairing.came_to({"refunds_made": 2})
            raise OSError
    async with audit_log.doing(ADA, Action.FAIL_ORPHANS, "all"):
        pass
    assert [(one.action, one.after) for one in await audit_log.read(9)] == [
        ("fail_orphans", BEGUN),
        ("repair_books", BEGUN),
    ]


class Killed(BaseException):
    """Ends what is under way where it stands, as a kill does."""


async def test_a_kill_between_an_action_and_its_end_leaves_the_entry_that_it_began(
    redis_client: Redis, platform: FaultyPlatform, audit_log: AuditLog, tmp_path: Path
) -> None:
    outbox = HistorySide(redis_client, platform, tmp_path).outbox

    async def die(*_: object, **__: object) -> None:
        raise Killed

    intent = new_intent(some_session(), "req_1", "sorry", "a test")
    await untyped(redis_client).hset(keys.REFUNDS, intent.key, dump(intent))
    waiting = some_session(Channel.B2B)
    await enqueue(redis_client, waiting)
    outbox.settle = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await RefundActions(outbox, audit_log).settle_now(ADA)
    cancellations = Cancellations(redis_client, platform, outbox, audit_log)
    cancellations._write_intent = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await cancellations.cancel_waiting(waiting.owner_id, ADA)
    cancelled, refunds = await audit_log.read(9)
    assert (cancelled.action, cancelled.after, *cancelled.ids) == ("cancel_waiting", BEGUN, waiting.session_id)
    assert (refunds.action, refunds.after, *refunds.ids) == ("retry_refunds", BEGUN, intent.session_id)
