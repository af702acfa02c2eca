"""The rules that turn the fleet's status into incidents. No Redis, no platform."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wearon.dependencies import Dependency, Refusal, RefusalKind
from wearon.operations.audit.books import Books, Finding
from wearon.operations.counters import last_minutes
from wearon.operations.incident_memory import MOST, Change, Memory
from wearon.operations.incident_model import Cost, Incident, Severity
from wearon.operations.incidents import KINDS, find_incidents, is_well, with_cost, with_its_end
from wearon.operations.incidents.costs import CAUSES
from wearon.operations.models import (
    Descriptors,
    FleetStatus,
    ImageModel,
    Minute,
    PosePoolStatus,
    Process,
    Queues,
    RunningJob,
)
from wearon.operations.retention.rounds import Round
from wearon.operations.words import duration
from wearon.queue.pauses import Pause
from wearon.supervisor import Component

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

QUEUES = Queues(tasks=0, taken=0, jobs=0, running=0, dead_letters=0, refunds=0, refunds_by_hand=0)
WORKER = Process(worker="w", host="h", pid=1, version="1", capacity=2, busy=0, beat_age_s=1, loop_lag_s=0)
TOO_FEW = Descriptors(limit=256, open=20, paid_work=300, downloads=32, http=16, needed=512)
WELL = FleetStatus(
    at=NOON,
    mode="production",
    status="ok",
    queues=QUEUES,
    processes=[WORKER],
    parts=[Component(name="worker", state="running")],
    pose_pool=PosePoolStatus(processes=2, warm=2, waiting=0, expected_wait_s=0),
    last_hour=[Minute(at=at, completed=1) for at in last_minutes(NOON, 60)],
)


def fleet(**changes: Any) -> FleetStatus:
    return WELL.model_copy(update=changes)


def queues(**changes: Any) -> FleetStatus:
    return fleet(queues=QUEUES.model_copy(update=changes))


def worker(**changes: Any) -> FleetStatus:
    return fleet(processes=[WORKER.model_copy(update=changes)])


def refused(dependency: str, kind: str, words: str = "what was said", since_s: float = 31) -> Refusal:
    return Refusal(dependency=dependency, kind=kind, words=words, since_s=since_s)


BOOKS = Books(at=NOON, next_from=NOON, history_from=NOON, sessions=9)
OLD_BOOKS = BOOKS.model_copy(update={"at": NOON - timedelta(hours=4), "error": "no answer"})

OLD_ROUND = Round(hours=6, at=NOON, pass_from=NOON, whole_from=NOON - timedelta(hours=7), error="no answer")


def books(**counts: int) -> FleetStatus:
    return fleet(books=BOOKS.model_copy(update={"counts": counts}))


def running(step: str, step_s: float) -> RunningJob:
    return RunningJob(session_id="s1", request_id="", channel="b2c", step=step, step_s=step_s, age_s=step_s, attempt=1)


def test_an_orderly_stop_is_no_incident() -> None:
    assert find_incidents(worker(parts=[Component(name="consumer", state="stopped")])) == []


def test_a_component_that_has_recovered_is_no_incident() -> None:
    for restarts, minutes in ((2, 0), (3, 2)):
        died_at = NOON - timedelta(minutes=minutes)
        again = Component(name="waker", state="running", restarts=restarts, died_at=died_at)
        assert find_incidents(worker(parts=[again])) == []


BY_AN_OPERATOR = Pause(reason="moving", by="me", since_ms=1)
BY_ITSELF = Pause(kind="breaker", reason="OpenAI refuses our key", since_ms=2)
OF_A_STORE = Pause(tenant="b2b:s", since_ms=1)


@pytest.mark.parametrize(
    ("pause", "well", "code", "sentence", "command"),
    [
        (BY_AN_OPERATOR, True, "paused", "The fleet is paused by me: moving.", "wearon resume"),
        (BY_ITSELF, False, "paused_by_itself", "paused by itself: OpenAI refuses our key.", "wearon resume"),
        (OF_A_STORE, True, "paused", "Store s is paused by an operator: no reason", "wearon resume --store s"),
    ],
)
def test_a_pause_is_an_incident_with_its_own_end(
    pause: Pause, well: bool, code: str, sentence: str, command: str
) -> None:
    found = find_incidents(fleet(pauses=[pause], near_cron=["session 1"]))
    [incident] = found
    assert (incident.code, is_well(found), incident.since) == (code, well, pause.since)
    assert sentence in incident.title
    assert ("session 1" in incident.detail) is (pause is not OF_A_STORE), "b2c sessions wait for the fleet only"
    assert [action.command for action in incident.actions] == [command]


@pytest.mark.parametrize(
    ("pauses", "waits", "told"),
    [
        ([Pause()], {"tasks": 3}, False),
        ([OF_A_STORE], {"jobs": 4, "in_lines": 4, "longest_lines": {"b2b:s": 4}}, False),
        ([OF_A_STORE], {"jobs": 5, "in_lines": 5, "longest_lines": {"b2b:s": 4, "b2c": 1}}, True),
        ([OF_A_STORE], {"tasks": 1, "jobs": 4, "in_lines": 4, "longest_lines": {"b2b:s": 4}}, True),
        ([], {"tasks": 1}, True),
    ],
)
def test_what_waits_for_a_pause_only_does_not_wait_too_long(
    pauses: list[Pause], waits: dict[str, Any], told: bool
) -> None:
    queues = QUEUES.model_copy(update={"oldest_task_s": 600, **waits})
    found = [one for one in find_incidents(fleet(pauses=pauses, queues=queues)) if one.code == "tasks_wait"]
    assert bool(found) is told
    assert all("Slots are free" in one.what_to_do for one in found)
    full = [Process(worker="w", host="h", pid=1, version="1", capacity=2, busy=2)]
    for one in find_incidents(fleet(queues=queues, processes=full)):
        assert one.what_to_do.startswith("Start more workers")


def test_many_pauses_are_few_incidents_the_fleets_first() -> None:
    pauses = [Pause(tenant=f"b2b:{number}", since_ms=number) for number in range(50)]
    found = find_incidents(fleet(pauses=[*pauses, Pause(since_ms=99)]))
    assert len(found) == 10
    assert found[0].tenant is None


def test_when_all_is_well_there_is_no_incident() -> None:
    assert find_incidents(WELL) == []
    assert is_well([])


@pytest.mark.parametrize(
    ("now", "well", "code", "sentence"),
    [
        (fleet(queues=None), False, "redis_away", "Redis does not answer"),
        (queues(oldest_refund_s=31), False, "refunds_late", "outstanding for 31 s"),
        (queues(refunds_by_hand=1), True, "refunds_in_review", "1 refund to be reviewed"),
        (queues(dead_letters=2), True, "dead_letters", "2 dead letters to be retried or discarded"),
        (queues(oldest_task_s=600), True, "tasks_wait", "waited for 10 min: 0 of 2 slots are busy"),
        (
            fleet(processes=[], queues=QUEUES.model_copy(update={"tasks": 3, "oldest_task_s": 31})),
            False,
            "no_worker",
            "No worker is running: 3 tasks",
        ),
        (fleet(processes=[], queues=QUEUES.model_copy(update={"jobs": 1})), True, "no_worker", "1 task waiting"),
        (fleet(running=[running("generate", 400)]), True, "job_hangs", "1 job hanging, the longest for 6 min"),
        (
            fleet(parts=[Component(name="api", state="failed", error="x")]),
            False,
            "component_down",
            "api is failed: x",
        ),
        (
            worker(parts=[Component(name="consumer", state="restarting")]),
            False,
            "component_down",
            "consumer of w is restarting.",
        ),
        (
            worker(parts=[Component(name="waker", state="running", restarts=3, died_at=NOON, error="x")]),
            False,
            "component_down",
            "waker of w has died 3 times: x.",
        ),
        (
            fleet(pose_pool=PosePoolStatus(processes=2, warm=1, waiting=0, expected_wait_s=0)),
            False,
            "pose_pool_cold",
            "1 of 2 pose processes",
        ),
        (fleet(descriptors=TOO_FEW), False, "descriptors_short", "256 of 512 that may be needed; raise ulimit -n."),
        (worker(beat_age_s=9), True, "heartbeat_late", "w sent its last heartbeat 9 s ago"),
        (worker(loop_lag_s=1.5), True, "loop_lag", "w stood still for 1.5 s."),
        (
            fleet(
                last_hour=[
                    Minute(at=NOON, completed=5, failed=5, causes={"failed:openai.refused.generate": 5}),
                    Minute(at=NOON, failed=9, causes={"failed:openai.moderated.generate": 9}),
                ],
                failures_by_reason={"moderation": 9, "openai": 5},
            ),
            True,
            "generations_fail",
            "5 of 10 generations of the last 15 minutes failed, most often for: openai.refused.generate.",
        ),
        (books(refund_missing=2), False, "books_refund_missing", "2 failed sessions were not refunded."),
        (books(refunded_twice=1), True, "books_refund_wrong", "1 refund is not as it should be."),
        (books(picture_missing=3), True, "books_picture_missing", "3 completed sessions have no picture."),
        (books(session_missing=1), True, "books_session_missing", "1 paid session has no row any more."),
        (books(paid_twice=1, history_cost=1), True, "books_paid_calls", "2 paid calls are not"),
        (fleet(books=OLD_BOOKS), True, "books_not_audited", "The books were last audited 4 h ago."),
        (fleet(retention=OLD_ROUND), True, "retention_behind", "more than 12 hours old; 6 are promised."),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_each_cause_is_one_incident(now: FleetStatus, well: bool, code: str, sentence: str) -> None:
    (incident,) = find_incidents(now)
    assert incident.code == code
    assert sentence in incident.title
    assert is_well([incident]) == well


def test_an_incident_of_the_books_names_some_sessions() -> None:
    finding = Finding(
        kind="refund_missing", session_id="s1", channel="b2c", owner_id="u", created_at=NOON, detail="1 owed"
    )
    other = finding.model_copy(update={"kind": "picture_missing", "session_id": "s2"})
    found = BOOKS.model_copy(update={"counts": {"refund_missing": 1}, "examples": [finding, other]})
    (incident,) = find_incidents(fleet(books=found))
    assert (incident.detail, incident.affected, incident.of) == ("s1: 1 owed", 1, 9)
    assert [action.view for action in incident.actions] == ["sessions/s1"]
    assert "`wearon audit --repair`" in incident.what_to_do
    assert find_incidents(fleet(books=BOOKS)) == []


@pytest.mark.parametrize(
    ("causes", "codes"),
    [
        ({"failed:openai.moderated.generate": 10}, []),
        ({"failed:worker.store_limit": 10}, []),
        ({"failed:pictures.unusable.photos": 10, "picture:b2b:s1": 4, "picture:b2b:s2": 4}, []),
        ({"failed:pictures.unusable.photos": 10, "picture:b2b:s1": 8}, ["pictures_of_store"]),
        ({"failed:openai.refused.generate": 10}, ["generations_fail"]),
        ({}, ["generations_fail"]),
    ],
)
def test_expected_failures_are_no_incident(causes: dict[str, int], codes: list[str]) -> None:
    found = find_incidents(fleet(last_hour=[Minute(at=NOON, failed=10, causes=causes)]))
    assert [incident.code for incident in found] == codes
    assert [incident.tenant for incident in found] == [
        "b2b:s1" if code == "pictures_of_store" else None for code in codes
    ]


def test_a_rate_limit_is_told_when_it_is_reached_for_long() -> None:
    limited = Minute(at=NOON, causes={"retried:openai.rate_limited.generate": 1})
    quiet = Minute(at=NOON, causes={"retried:supabase.away.start": 1})
    assert find_incidents(fleet(last_hour=[limited] * 4)) == []
    assert find_incidents(fleet(last_hour=[limited, limited, quiet, limited, limited])) == []
    assert [one.code for one in find_incidents(fleet(last_hour=[quiet, *[limited] * 5]))] == ["rate_limit_reached"]


def test_an_incident_tells_what_it_has_cost_since_it_began() -> None:
    causes = {
        "failed:openai.key_refused.generate": 3,
        "refunded:openai.key_refused.generate": 2,
        "retried:openai.key_refused.generate": 7,
        "lost:openai.key_refused.generate": 56_000,
        "failed:supabase.away.start": 100,
    }
    hour = [Minute(at=NOON - timedelta(minutes=ago), causes=causes) for ago in (3, 2, 1)]
    incident = KINDS["openai_key_refused"].incident("", NOON - timedelta(seconds=90))
    cost = with_cost(incident, fleet(last_hour=hour)).cost
    assert (cost.failed, cost.refunded, cost.retried, cost.cost_usd) == (6, 4, 14, Decimal("0.112"))
    assert cost.cause == "openai.key_refused."
    every = KINDS["generations_fail"].incident("", NOON - timedelta(seconds=90))
    expected = Minute(at=NOON, causes={"failed:openai.moderated.generate": 5, "failed:worker.crashes": 1})
    assert with_cost(every, fleet(last_hour=[*hour, expected])).cost.failed == 207
    assert with_cost(incident, fleet(last_hour=[])).cost == Cost()
    assert CAUSES.keys() <= KINDS.keys()


def test_a_job_that_waits_for_its_turn_does_not_hang() -> None:
    assert find_incidents(fleet(running=[running("rate_limit", 4000), running("generate", 100)])) == []


@pytest.mark.parametrize("dependency", Dependency)
@pytest.mark.parametrize("kind", RefusalKind)
def test_a_refusal_is_an_incident_wherever_it_was_noticed(dependency: str, kind: str) -> None:
    refusal = refused(dependency, kind)
    for now in (fleet(refusals=[refusal]), worker(refusals=[refusal])):
        (incident,) = find_incidents(now)
        assert incident.code in {f"{dependency}_{kind}", f"{dependency}_refused"}
        assert "hat was said" in incident.title + incident.detail
        assert incident.since == NOON - timedelta(seconds=31)
        assert is_well([incident]) == (incident.code == "openai_fallback_model"), "then pictures are made"


def test_what_a_newer_version_reports_is_told_in_its_words() -> None:
    (incident,) = find_incidents(worker(refusals=[refused("fax", "out_of_paper", "the fax is out of paper")]))
    assert incident.title == "The fax is out of paper."


def test_refusals_are_grouped_by_service_and_kind() -> None:
    key = refused("openai", "key_refused")
    others = [refused("openai", "away"), refused("supabase", "key_refused")]
    processes = [
        WORKER.model_copy(update={"worker": name, "refusals": refusals})
        for name, refusals in (("a", [key]), ("b", [key, *others]), ("c", []))
    ]
    incidents = find_incidents(fleet(processes=processes, refusals=[key]))
    assert [incident.code for incident in incidents] == ["supabase_key_refused", "openai_key_refused", "openai_away"]
    assert (incidents[1].affected, incidents[1].of, incidents[1].workers) == (2, 3, ["a", "b"])


@pytest.mark.parametrize(("last", "after_s"), [((-3, 48), 12), ((-3, 70), 0), ((-30,), None), ((), None)])
def test_it_is_told_how_long_after_the_last_refusal_of_all_processes_it_ended(
    last: tuple[float, ...], after_s: float | None
) -> None:
    others = {"openai_away": later(59)}
    processes = [
        WORKER.model_copy(update={"last_refused": {**others, "openai_key_refused": later(at)}}) for at in last
    ] or [WORKER.model_copy(update={"last_refused": others})]
    (over,) = [one.model_copy(update={"recovered_at": later(60)}) for one in found(0)]
    assert over.after_last_refusal_s is None
    assert with_its_end(over, fleet(processes=processes)).after_last_refusal_s == after_s


@pytest.mark.parametrize(
    ("of_processes", "after_s", "what"),
    [
        ([(40, 55), (48, 50)], 10, "OpenAI came back"),
        ([(48, 55), (40, 45)], 5, "OpenAI came back"),  # of 45 it was refused again
        ([(48, None), (40, 45)], None, "the last refusal"),
        ([(None, 55)], None, ""),
    ],
)
def test_it_is_told_how_long_after_the_service_came_back_it_ended(
    of_processes: list[tuple[float | None, float | None]], after_s: float | None, what: str
) -> None:
    processes = [
        WORKER.model_copy(
            update={
                name: {} if at is None else {"openai_key_refused": later(at)}
                for name, at in (("last_refused", refused_at), ("answered_again", answered_at))
            }
        )
        for refused_at, answered_at in of_processes
    ]
    (over,) = [one.model_copy(update={"recovered_at": later(60)}) for one in found(0)]
    told = with_its_end(over, fleet(processes=processes))
    assert (told.after_answer_s, told.after_what) == (after_s, what)


def test_a_redis_that_refuses_us_is_not_said_to_be_silent() -> None:
    (incident,) = find_incidents(fleet(queues=None, refusals=[refused("redis", "key_refused")]))
    assert incident.code == "redis_key_refused"


def test_the_last_day_of_an_image_model_is_told_once_when_it_is_near() -> None:
    ending = ImageModel(name="old", last_day=(NOON + timedelta(days=2)).date())
    gone = ImageModel(name="older", last_day=NOON.date())
    later = ImageModel(name="new", last_day=(NOON + timedelta(days=61)).date())
    process = WORKER.model_copy(update={"image_models": [ending, later, gone, ImageModel(name="newest")]})
    incidents = find_incidents(fleet(processes=[process, process]))
    assert [incident.title for incident in incidents] == [
        "old is shut down on 2026-11-26, in 2 days: name another model in OPENAI_MODEL.",
        "older was shut down on 2026-11-24: name another model in OPENAI_FALLBACK_MODELS.",
    ]
    assert [incident.key for incident in incidents] == ["image_model_ends:old", "image_model_ends:older"]
    assert is_well(incidents), "the pictures are made today"


def test_the_worst_comes_first() -> None:
    now = queues(dead_letters=1, oldest_refund_s=60)
    assert [incident.code for incident in find_incidents(now)] == ["refunds_late", "dead_letters"]


# Memory


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def found(seconds: float, **changes: Any) -> list[Incident]:
    """A key that is refused, as it is found so many seconds after noon."""
    return [KINDS["openai_key_refused"].incident("OpenAI refuses our key.", later(seconds), **changes)]


def written(*changes: Change) -> Memory:
    """What the fleet remembers after these changes."""
    return Memory.read({change.key: change.text for change in changes if change.after})


def test_an_incident_is_told_since_it_began_and_for_a_while_after_it_ended() -> None:
    (begin,) = Memory.read({}).changes(found(0), NOON)
    assert (begin.key, begin.before, begin.begins, begin.ends) == ("openai_key_refused", b"", True, False)
    active, recovered = written(begin).recall(found(30), later(30))
    assert ([one.since for one in active], recovered) == ([NOON], [])
    assert list(written(begin).changes(found(30), later(30))) == [], "nothing has changed"

    (end,) = written(begin).changes([], later(75))
    assert (end.before, end.begins, end.ends) == (begin.text, False, True)
    for seconds, shown in ((80, 1), (75 + 899, 1), (75 + 901, 0)):
        active, recovered = written(end).recall([], later(seconds))
        assert active == []
        assert [one.recovered_at for one in recovered] == [later(75)] * shown
    (forgotten,) = written(end).changes([], later(75 + 901))
    assert (forgotten.before, forgotten.after) == (end.text, None)


@pytest.mark.parametrize(("again", "since"), [(100, 0), (200, 200)])
def test_what_flickers_is_one_incident(again: float, since: float) -> None:
    (begin,) = Memory.read({}).changes(found(0), NOON)
    (end,) = written(begin).changes([], later(75))
    (reopened,) = written(end).changes(found(again), later(again))
    assert reopened.after is not None
    assert (reopened.after.since, reopened.after.recovered_at, reopened.begins) == (later(since), None, True)


def test_one_that_gets_worse_is_written_down_again_and_not_told_again() -> None:
    (begin,) = Memory.read({}).changes(found(0, severity=Severity.WARNING), NOON)
    (worse,) = written(begin).changes(found(30), later(30))
    assert worse.after is not None
    assert (worse.after.severity, worse.after.since, worse.begins) == (Severity.CRITICAL, NOON, False)


def test_what_began_and_ended_while_nothing_could_be_written_is_remembered_once() -> None:
    (missed,) = Memory.read({}).changes([], later(60), found(0))
    assert missed.after is not None
    assert (missed.after.since, missed.after.recovered_at, missed.ends) == (NOON, later(60), True)
    assert list(written(missed).changes([], later(62), found(2))) == [], "another process has written it"


def test_the_memory_is_bounded_and_passes_over_what_it_cannot_read() -> None:
    full = {str(number): b"{}" for number in range(MOST)}
    memory = Memory.read(full)
    assert memory.recall([], NOON) == ([], [])
    changes = list(memory.changes(found(0), NOON))
    assert {change.after for change in changes} == {None}, "nothing is added, and what is no incident goes"
    long = found(0, detail="x" * 10_000, workers=["w"] * 1000)
    (short,) = Memory.read({}).changes(long, NOON)
    assert len(short.text) < 2000


def test_what_only_this_process_can_see_is_not_written_down() -> None:
    cold = fleet(pose_pool=PosePoolStatus(processes=2, warm=1, waiting=0, expected_wait_s=0))
    assert list(Memory.read({}).changes(find_incidents(cold), NOON)) == []


def test_every_kind_says_what_follows_and_what_to_do() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    for code, kind in KINDS.items():
        assert code == kind.code
        row = next(
            (line for line in page.splitlines() if line.startswith(f"| `{code}` | {kind.severity.value} | ")), ""
        )
        assert kind.what_to_do in row, f"docs/operations.md has no such row for {code}"
        assert kind.if_nothing_is_done.endswith(".")
        assert kind.what_to_do.endswith(".")


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h")]
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
