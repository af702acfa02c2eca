"""Dead letters in bulk: counted by cause and version, retried without what would come back at once, discarded."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from support.job_side import (
    OPERATOR,
    Buyer,
    FaultyPlatform,
    document,
    entries,
    new_audit_log,
    new_dead_letters,
    some_session,
    untyped,
)
from wearon.operations.actions import dead_letters as actions_module
from wearon.operations.actions.dead_letters import DeadLetterActions
from wearon.operations.actions.errors import NotPossible, NotThere
from wearon.operations.dead_letter_groups import BulkLetter, BulkStep, Fate
from wearon.platform.base import SessionRef
from wearon.queue import dead_letters as dead_letters_module
from wearon.queue import keys
from wearon.redis.errors import BadKey

pytestmark = pytest.mark.slow

NEWER = "version 7 is not known to this worker, which knows 1"
MISSING = "no such session"


@pytest.fixture
def actions(redis_client: Redis, platform: FaultyPlatform) -> DeadLetterActions:
    return DeadLetterActions(new_dead_letters(redis_client), platform, new_audit_log(redis_client))


async def add(redis: Redis, data: bytes, reason: str, ref: SessionRef | None = None) -> str:
    letter = await new_dead_letters(redis).add(data, reason, session_id=ref.session_id if ref else None)
    return letter.id


async def all_parts(actions: DeadLetterActions, group: str | None, *, dry_run: bool = False) -> list[BulkLetter]:
    step = BulkStep(letters=[], passed=0)
    done = []
    while step.passed is not None:
        step = await actions.retry_some(group, OPERATOR, step.passed, dry_run=dry_run)
        done += step.letters
    return done


async def test_they_are_counted_by_cause_and_producer_version(redis_client: Redis, actions: DeadLetterActions) -> None:
    for number in range(3):
        await add(redis_client, document(some_session(), version=7), NEWER)
        await add(redis_client, b"no JSON" * number, f"not JSON: expected value at line 1 column {number}")
    await add(redis_client, document(some_session()), MISSING)
    found = await actions.groups()
    assert (found.letters, found.usable) == (7, 1)
    told = {(group.version, group.letters, group.usable) for group in found.groups}
    assert told == {("7", 3, 0), ("", 3, 0), ("1", 1, 1)}
    newer = next(group for group in found.groups if group.version == "7")
    assert "Deploy a worker that knows the version" in newer.advice.operator
    assert newer.first_at < newer.last_at
    assert [letter.reason for letter in await actions.list(2, 1, newer.id)] == [NEWER, NEWER]


async def test_what_others_wrote_is_listed_as_no_dead_letter(redis_client: Redis, actions: DeadLetterActions) -> None:
    id_ = await add(redis_client, document(some_session()), MISSING)
    texts = {"id": "a", "at": "2026-11-30", "reason": "r", "payload": "{}"}
    odd = [{**texts, name: value} for name, value in {"payload": {"a": 1}, "reason": ["r"], "at": 5, "id": 6}.items()]
    foreign = [*map(json.dumps, odd), "null", "[1]", b"\xff\xfe", json.dumps({**texts, "session_id": 7})]
    await untyped(redis_client).lpush(keys.DEAD_LETTERS, *foreign)
    assert {letter.reason for letter in (await actions.list(100))[:-1]} == {"this entry is no dead letter"}
    found = await actions.groups()
    assert (found.letters, found.usable) == (1 + len(foreign), 1)
    assert (await actions.find(id_)).reason == MISSING


async def test_only_what_would_not_come_back_is_pushed_and_the_dry_run_says_so_before(
    redis_client: Redis, actions: DeadLetterActions, buyer: Buyer, platform: FaultyPlatform
) -> None:
    ready, others, ended, gone = await buyer.buy(), await buyer.buy(), await buyer.buy(), some_session()
    await platform.start_session(ended)
    outcome = {
        document(ready): Fate.PUSHED,
        document(ended): Fate.ENDED,
        document(gone): Fate.NO_SESSION,
        document(SessionRef(others.channel, str(uuid4()), others.session_id)): Fate.NO_SESSION,
        document(ready, version=7): Fate.NO_TASK,
        b"x" * 70_000: Fate.NO_TASK,
    }
    assert await platform.fail_session(ended, "x", _now())
    for data in outcome:
        await add(redis_client, data, MISSING)

    expected = list(outcome.values())
    assert [letter.fate for letter in await all_parts(actions, None, dry_run=True)] == expected
    assert len(await entries(redis_client, keys.DEAD_LETTERS)) == len(outcome)
    assert sorted(letter.fate for letter in await all_parts(actions, None)) == sorted(expected)
    assert await entries(redis_client, keys.TASKS) == [next(iter(outcome))]
    assert len(await entries(redis_client, keys.DEAD_LETTERS)) == len(outcome) - 1
    assert Fate.PUSHED not in {letter.fate for letter in await all_parts(actions, None)}


def _now() -> datetime:
    return datetime.now(UTC)


async def test_of_two_operators_one_pushes(redis_client: Redis, actions: DeadLetterActions, buyer: Buyer) -> None:
    documents = [document(await buyer.buy()) for _ in range(30)]
    ids = [await add(redis_client, data, MISSING) for data in documents]

    async def retry_one() -> None:
        with suppress(NotThere):  # the others may have been quicker
            await actions.retry(ids[7], OPERATOR)

    done = await asyncio.gather(all_parts(actions, None), all_parts(actions, None), retry_one())
    assert sorted(await entries(redis_client, keys.TASKS)) == sorted(documents)
    assert await entries(redis_client, keys.DEAD_LETTERS) == []
    assert sum(len(part) for part in done if part) in (29, 30)
    with pytest.raises(NotThere):
        await actions.retry(ids[7], OPERATOR)


async def test_a_document_that_came_twice_is_pushed_once(
    redis_client: Redis, actions: DeadLetterActions, buyer: Buyer
) -> None:
    first, second = [document(await buyer.buy()) for _ in range(2)]
    ids = [await add(redis_client, data, MISSING) for data in (first, second, first, second)]
    await actions.retry(ids[0], OPERATOR)
    assert await entries(redis_client, keys.TASKS) == [first]
    assert [letter.fate for letter in await all_parts(actions, None)] == [Fate.PUSHED] * 2
    assert await entries(redis_client, keys.TASKS) == [second, first]
    assert await entries(redis_client, keys.DEAD_LETTERS) == []


async def test_what_would_come_back_is_not_pushed_by_its_id_either(
    redis_client: Redis, actions: DeadLetterActions
) -> None:
    letter_id = await add(redis_client, document(some_session(), version=7), NEWER)
    with pytest.raises(NotPossible, match="would come back at once: version 7"):
        await actions.retry(letter_id, OPERATOR)
    assert await entries(redis_client, keys.TASKS) == []


async def test_a_group_is_discarded_and_what_has_come_meanwhile_is_not(
    redis_client: Redis, actions: DeadLetterActions
) -> None:
    for _ in range(3):
        await add(redis_client, document(some_session(), version=7), NEWER)
    kept = await add(redis_client, document(some_session()), MISSING)
    (group, _) = (await actions.groups()).groups
    await asyncio.sleep(0.002)  # the letters' times are milliseconds
    late = await add(redis_client, document(some_session(), version=7), NEWER)
    step = await actions.discard_some(group.id, OPERATOR, until=group.last_at)
    assert ([letter.fate for letter in step.letters], step.passed) == ([Fate.DISCARDED] * 3, None)
    assert [letter.id for letter in await actions.list(10)] == [late, kept]


async def test_nothing_is_read_in_one_piece(
    redis_client: Redis, actions: DeadLetterActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer of Redis has a bounded number of entries and of bytes, whatever lies there."""
    monkeypatch.setattr(dead_letters_module, "PAGE", 20)
    monkeypatch.setattr(dead_letters_module, "PAGE_BYTES", 30_000)
    monkeypatch.setattr(actions_module, "STEP", 25)
    letters = new_dead_letters(redis_client)
    for number in range(70):
        await add(redis_client, b"%d" % number * (10_000 if number < 20 else 1), "not JSON")
    await untyped(redis_client).rpush(keys.DEAD_LETTERS, "no dead letter")
    sizes = []
    passed = 0
    while page := await letters.read(passed, oldest_first=True):
        sizes.append(len(page))
        passed += len(page)
    assert passed == 71
    assert sizes[0] == 5  # long ones
    assert max(sizes) == 20
    assert (await actions.groups()).letters == 71
    (group,) = [one for one in (await actions.groups()).groups if one.letters == 70]
    step = await actions.discard_some(group.id, OPERATOR)
    assert 25 <= len(step.letters) < 50
    assert step.passed == 1
    assert (await actions.list(1000))[-1].reason == "this entry is no dead letter"


async def test_a_list_of_another_type_loses_nothing(redis_client: Redis, actions: DeadLetterActions) -> None:
    letter_id = await add(redis_client, document(some_session()), MISSING)
    await untyped(redis_client).set(keys.TASKS, "what is this")
    with pytest.raises(BadKey, match="is a string"):
        await actions.retry(letter_id, OPERATOR)
    (entry,) = await entries(redis_client, keys.DEAD_LETTERS)
    assert json.loads(entry)["id"] == letter_id
