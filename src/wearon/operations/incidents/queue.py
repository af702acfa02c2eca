"""Tasks that wait too long, jobs that hang, and dead letters."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from wearon.operations.incident_model import Action, Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus, Queues, RunningJob
from wearon.operations.words import duration, plural
from wearon.queue.pauses import FLEET, Pause

OLD_TASK_S = 120.0
"""A task that was not taken for this long: a generation takes a minute, so the shopper waits for three."""

STARVED_S = 30.0
"""A deployment that stops all workers before it starts new ones takes less."""

HANGS_AFTER_S = {"start": 60.0, "photos": 90.0, "generate": 150.0, "upload": 120.0, "complete": 60.0, "refund": 60.0}
"""How long a step may take before it hangs. A generation takes 10-60 s (95 % within 41 s), the others well under one;
downloads end after 30 s."""

NO_WORKER = IncidentKind(
    "no_worker",
    Severity.CRITICAL,
    "Nothing is done: shoppers wait, and the platform's cron fails their sessions after 10 minutes.",
    "Start a worker: `wearon serve`. If there is one, its log says why it does not reach Redis.",
)
TASKS_WAIT = IncidentKind(
    "tasks_wait",
    Severity.WARNING,
    "Shoppers wait longer and longer.",
    "Start more workers, or raise WORKER_CONCURRENCY, as far as the account's rate limit allows.",
)
HELD_BACK = (
    "Slots are free, so something holds it back: a paused store, STORE_CONCURRENCY, or a consumer that does not run."
)
JOB_HANGS = IncidentKind(
    "job_hangs",
    Severity.WARNING,
    "A time limit ends the attempt in the end; the job is retried, or its session fails with a refund.",
    "Read what the session's page says. Restarting its worker retries the job elsewhere; nothing is paid twice.",
)
DEAD_LETTERS = IncidentKind(
    "dead_letters",
    Severity.WARNING,
    "They stay. Sessions that they name have been failed and refunded.",
    "Read why, put the producer right, then retry what can become a task and discard the rest.",
    (Action(label="Show dead letters", view="desk", command="wearon dead-letters list"),),
)
KINDS = (NO_WORKER, TASKS_WAIT, JOB_HANGS, DEAD_LETTERS)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of what waits and of what runs."""
    yield from _waiting(fleet)
    yield from _hanging(fleet)
    letters = fleet.queues.dead_letters if fleet.queues else 0
    if letters:
        yield DEAD_LETTERS.incident(
            f"{plural(letters, 'dead letter')} to be retried or discarded.",
            fleet.at,
            affected=letters,
            what="documents",
        )


def _waiting(fleet: FleetStatus) -> Iterator[Incident]:
    queues = fleet.queues
    if queues is None:
        return
    waiting, oldest_s = queues.waiting, queues.oldest_task_s or 0.0
    slots = sum(process.capacity for process in fleet.processes)
    since = fleet.at - timedelta(seconds=oldest_s)
    if waiting and not slots:
        title = f"No worker is running: {plural(waiting, 'task')} waiting."
        severity = Severity.CRITICAL if oldest_s > STARVED_S else Severity.WARNING
        yield NO_WORKER.incident(title, since, severity=severity, affected=waiting, what="waiting tasks")
    elif oldest_s > OLD_TASK_S and not _waits_for_pauses(queues, fleet.pauses):
        busy = sum(process.busy for process in fleet.processes)
        title = f"The oldest task has waited for {duration(oldest_s)}: {busy} of {slots} slots are busy."
        held = {"what_to_do": HELD_BACK} if busy < slots else {}
        yield TASKS_WAIT.incident(title, since, affected=waiting, what="waiting tasks", **held)


def _waits_for_pauses(queues: Queues, pauses: Sequence[Pause]) -> bool:
    """Whether all that waits does so for a pause, which is an incident of its own."""
    paused = {pause.tenant for pause in pauses}
    in_paused_lines = sum(jobs for tenant, jobs in queues.longest_lines.items() if tenant in paused)
    return FLEET in paused or (bool(paused) and not queues.tasks and in_paused_lines >= queues.in_lines)


def hangs(job: RunningJob) -> bool:
    """Whether a job has been in its step far beyond its like. To wait for the rate limit is not to hang."""
    return job.step_s > HANGS_AFTER_S.get(job.step, float("inf"))


def _hanging(fleet: FleetStatus) -> Iterator[Incident]:
    """All of one worker's or one step's are one incident: the longest is named."""
    hanging = [job for job in fleet.running if hangs(job)]
    if not hanging:
        return
    longest = max(hanging, key=lambda job: job.step_s)
    session = longest.session_id
    jobs = plural(len(hanging), "job")
    yield JOB_HANGS.incident(
        f"{jobs} hanging, the longest for {duration(longest.step_s)} in its step {longest.step}.",
        fleet.at - timedelta(seconds=longest.step_s),
        affected=len(hanging),
        of=len(fleet.running),
        what="running jobs",
        detail=f"session {session}",
        actions=[Action(label="Show the session", view=f"sessions/{session}", command=f"wearon session {session}")],
        workers=sorted({job.worker for job in hanging if job.worker}),
    )
