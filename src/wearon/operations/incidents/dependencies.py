"""What Redis, Supabase, OpenAI or a machine refuse: one incident for each service and kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wearon.dependencies import Dependency, EndedRefusal, Refusal, RefusalKind
from wearon.operations.incident_model import Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.queue.lease import HEARTBEAT_S

BRIEF = timedelta(seconds=1)
"""What is over sooner is no incident: one answer was lost, and the next try had its own."""

WAITING = "Jobs are retried and shoppers wait. A session that reaches its deadline fails, and its credit is refunded."
STOPPED = "No task is taken, no job begins and no refund is made. Paid pictures wait on the worker's disk."


REDIS_AWAY = "redis_away"

WHY_REDIS_IS_AWAY = {"redis_read_only", "redis_full", "redis_key_refused"}
"""These say more than that nothing is answered or written."""

TITLES: dict[str, str] = {
    REDIS_AWAY: "Redis does not answer: no task is taken, and no refund is made, until it is back.",
    "redis_read_only": "Redis takes no writes: it is a replica.",
    "redis_full": "Redis takes no writes: its memory or its disk is full.",
    "redis_key_refused": "Redis refuses our user or password.",
    "supabase_rest_away": "Supabase's database does not answer.",
    "supabase_storage_away": "Supabase Storage does not answer.",
    "supabase_key_refused": "Supabase refuses our key.",
    "openai_key_refused": "OpenAI refuses our key.",
    "openai_quota_used_up": "The OpenAI account has no money left.",
    "openai_away": "OpenAI does not answer.",
}
"""What happens, where the words of the refusal are but its details. All others are told in those words."""

_KINDS: Mapping[Dependency, Mapping[RefusalKind, tuple[str, str]]] = {
    Dependency.REDIS: {
        RefusalKind.AWAY: (
            STOPPED,
            "See whether Redis runs and whether REDIS_URL leads to it. `wearon doctor` says how far a connection gets.",
        ),
        RefusalKind.READ_ONLY: (
            STOPPED,
            "Let REDIS_URL lead to the primary. After a failover this passes by itself within seconds.",
        ),
        RefusalKind.FULL: (
            STOPPED,
            "Give Redis more memory or disk. Never let it evict: `maxmemory-policy noeviction`.",
        ),
        RefusalKind.KEY_REFUSED: (STOPPED, "Put the user and password in REDIS_URL right."),
        RefusalKind.BAD_KEY: (
            WAITING,
            "Another program writes our keys: give the worker a Redis database of its own, and delete that key.",
        ),
        RefusalKind.NEWER_JOBS: (
            "The jobs wait for a worker of that version; after ten minutes their sessions fail with a refund.",
            "Finish the deployment: start workers of the newer version.",
        ),
        RefusalKind.REFUSED: (
            WAITING,
            "Grant the rights that docs/operations.md lists. `wearon doctor` names the missing ones.",
        ),
    },
    Dependency.SUPABASE: {
        RefusalKind.REST_AWAY: (
            WAITING,
            "Look at Supabase's status page and at the project: it may be paused. Work goes on by itself within 10 s.",
        ),
        RefusalKind.STORAGE_AWAY: (
            WAITING,
            "Look at Supabase's status page. Paid pictures wait on the worker's disk: do not delete SPOOL_DIR.",
        ),
        RefusalKind.KEY_REFUSED: (WAITING, "Put SUPABASE_SERVICE_ROLE_KEY right, and restart the workers."),
        RefusalKind.BUCKET_MISSING: (
            WAITING,
            "Create the bucket, or put its limits right. `wearon doctor` says what does not fit.",
        ),
        RefusalKind.SLOW: (
            "Every job takes longer, and fewer are done.",
            "Look at the load of the database in Supabase's dashboard.",
        ),
        RefusalKind.REFUSED: (WAITING, "`wearon doctor` says which table, column or right is missing."),
    },
    Dependency.OPENAI: {
        RefusalKind.KEY_REFUSED: (
            WAITING,
            "Put OPENAI_API_KEY right, and restart the workers. Work goes on by itself when the key is allowed again.",
        ),
        RefusalKind.QUOTA_USED_UP: (WAITING, "Add money to the OpenAI account, or raise its limit of the month."),
        RefusalKind.NO_MODEL: (
            WAITING,
            "Name a model that exists and that the key may use in OPENAI_MODEL or OPENAI_FALLBACK_MODELS.",
        ),
        RefusalKind.FALLBACK_MODEL: (
            "Pictures are made, by another model than the wanted one: look and price differ.",
            "Name a model that exists and that the key may use in OPENAI_MODEL.",
        ),
        RefusalKind.AWAY: (
            WAITING,
            "Look at OpenAI's status page and at the network between. Work goes on by itself within 10 s.",
        ),
        RefusalKind.REFUSED: (WAITING, "Read the words of the refusal; `wearon doctor` asks again."),
    },
    Dependency.MACHINE: {
        RefusalKind.REFUSED: (
            "Jobs on that machine are retried until it has room again.",
            "Give the machine memory, processes, descriptors or disk, as the words say.",
        ),
    },
}
"""What follows if nothing is done, and what to do."""

KINDS = tuple(
    IncidentKind(
        f"{dependency}_{kind}",
        Severity.WARNING if kind is RefusalKind.FALLBACK_MODEL else Severity.CRITICAL,
        if_nothing_is_done,
        what_to_do,
    )
    for dependency, kinds in _KINDS.items()
    for kind, (if_nothing_is_done, what_to_do) in kinds.items()
)
_BY_CODE = {kind.code: kind for kind in KINDS}


@dataclass(slots=True)
class _Group:
    """Refusals of one service and kind."""

    kind: IncidentKind
    words: dict[str, float] = field(default_factory=dict)
    """What was said, and for how many seconds."""
    workers: list[str] = field(default_factory=list)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of the services."""
    groups = _grouped(fleet)
    if not groups.keys().isdisjoint(WHY_REDIS_IS_AWAY):
        groups.pop(REDIS_AWAY, None)
    elif fleet.queues is None:
        groups.setdefault(REDIS_AWAY, _Group(_BY_CODE[REDIS_AWAY]))
    for kind in KINDS:
        if (group := groups.get(kind.code)) is not None:
            yield _incident(group, fleet)


def that_ended(refusals: Iterable[EndedRefusal], worker: str, fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents that one process saw begin and end."""
    ended: dict[str, list[EndedRefusal]] = {}
    for one in refusals:
        ended.setdefault(_code_of(one.refusal), []).append(one)
    for code, ones in ended.items():
        since, until = min(one.since for one in ones), max(one.until for one in ones)
        if until - since >= BRIEF:
            group = _Group(_BY_CODE[code], {one.refusal.words: one.refusal.since_s for one in ones}, [worker])
            yield _incident(group, fleet).model_copy(update={"since": since, "recovered_at": until})


def with_its_end(incident: Incident, fleet: FleetStatus) -> Incident:
    """The incident with the last refusal that a process remembers, and the first success after it.

    What was before it began is of an earlier one.
    """
    times = [at for process in fleet.processes if (at := process.last_refused.get(incident.code)) is not None]
    last = max(times, default=None)
    # A report is up to a heartbeat old, so `since` may be that much late.
    if last is None or last < incident.since - timedelta(seconds=HEARTBEAT_S):
        return incident
    again = [at for process in fleet.processes if (at := process.answered_again.get(incident.code)) is not None]
    back = min((at for at in again if at >= last), default=None)
    return incident.model_copy(update={"last_refused_at": last, "answered_again_at": back})


def _grouped(fleet: FleetStatus) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    said: list[tuple[str, Sequence[Refusal]]] = [("", fleet.refusals)]
    said += [(process.worker, process.refusals) for process in fleet.processes]
    for worker, refusals in said:
        for refusal in refusals:
            code = _code_of(refusal)
            group = groups.setdefault(code, _Group(_BY_CODE[code]))
            group.words[refusal.words] = max(refusal.since_s, group.words.get(refusal.words, 0.0))
            if worker and worker not in group.workers:
                group.workers.append(worker)
    return groups


def _code_of(refusal: Refusal) -> str:
    """A report of another version may say what this one does not know."""
    code = f"{refusal.dependency}_{refusal.kind}"
    if code in _BY_CODE:
        return code
    known = f"{refusal.dependency}_{RefusalKind.REFUSED}"
    return known if known in _BY_CODE else f"{Dependency.MACHINE}_{RefusalKind.REFUSED}"


def _incident(group: _Group, fleet: FleetStatus) -> Incident:
    longest_first = sorted(group.words, key=lambda words: -group.words[words])
    title = TITLES.get(group.kind.code)
    if title is None:
        first = longest_first.pop(0)
        # The name of a key or of a model stays as it is.
        title = f"{first[:1].upper()}{first[1:]}." if first.partition(" ")[0].isalpha() else f"{first}."
    return group.kind.incident(
        title,
        fleet.at - timedelta(seconds=max(group.words.values(), default=0.0)),
        detail="; ".join(longest_first),
        affected=len(group.workers) or None,
        of=len(fleet.processes) if group.workers else None,
        what="processes",
        workers=group.workers,
    )
