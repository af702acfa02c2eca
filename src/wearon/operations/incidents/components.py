"""Components that die, processes that stand still or fall silent, and what this process lacks."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from wearon.operations.incident_model import Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus, Process
from wearon.operations.words import duration
from wearon.queue.lease import FRESH_S
from wearon.supervisor import Component, ComponentState

LAG_S = 1.0
"""Estimates are promised in under 1 s, and the loop serves them too."""

SEVERAL = 3
JUST_NOW = timedelta(minutes=2)
"""A component that runs for a minute is taken for steady (`wearon.supervisor.STEADY_S`)."""

DOWN = IncidentKind(
    "component_down",
    Severity.CRITICAL,
    "It is started again with pauses of up to 15 s. One that jobs need ends the process when that does not help.",
    "Read its error in the process's log.",
)
POSE_POOL = IncidentKind(
    "pose_pool_cold",
    Severity.CRITICAL,
    "Size estimates are slower, or refused. Processes that died are started again.",
    "Wait some seconds after a start. Else the log says why they do not start; memory is the usual reason.",
)
DESCRIPTORS = IncidentKind(
    "descriptors_short",
    Severity.CRITICAL,
    "Under load, downloads or callers are refused.",
    "Raise `ulimit -n` (systemd: LimitNOFILE, Docker: --ulimit nofile).",
)
SILENT = IncidentKind(
    "heartbeat_late",
    Severity.WARNING,
    "After 12 s without a heartbeat other workers take its jobs.",
    "Look at that machine and at its way to Redis.",
)
LAG = IncidentKind(
    "loop_lag",
    Severity.WARNING,
    "Everything in that process waits: jobs, heartbeats, size estimates.",
    "Give the machine more CPU, or run fewer processes on it.",
)
KINDS = (DOWN, POSE_POOL, DESCRIPTORS, SILENT, LAG)

FINE = {ComponentState.RUNNING, ComponentState.STOPPED}
"""Nothing but an orderly stop stops a component."""

SEEN_HERE = {POSE_POOL.code, DESCRIPTORS.code}
"""No other process can see these, so the fleet's memory does not hold them."""


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of the processes."""
    yield from _of_the_components(fleet)
    yield from _of_this_process(fleet)
    if late := [process for process in fleet.processes if process.beat_age_s > FRESH_S]:
        worst = max(late, key=lambda process: process.beat_age_s)
        yield _of(SILENT, f"{worst.worker} sent its last heartbeat {duration(worst.beat_age_s)} ago.", late, fleet)
    if slow := [process for process in fleet.processes if process.loop_lag_s > LAG_S]:
        worst = max(slow, key=lambda process: process.loop_lag_s)
        yield _of(LAG, f"{worst.worker} stood still for {worst.loop_lag_s:.1f} s.", slow, fleet)


def keeps_dying(component: Component, at: datetime) -> bool:
    """Whether it has died several times, the last time just now: between two deaths it runs."""
    died_at = component.died_at
    return component.restarts >= SEVERAL and died_at is not None and at - died_at < JUST_NOW


def _of_the_components(fleet: FleetStatus) -> Iterator[Incident]:
    """One for each component's name, however many processes have it."""
    down: dict[str, list[tuple[str, Component]]] = {}
    own = [("", fleet.parts)] if not any(process.parts == fleet.parts for process in fleet.processes) else []
    for worker, components in [*own, *((process.worker, process.parts) for process in fleet.processes)]:
        for component in components:
            if component.state not in FINE or keeps_dying(component, fleet.at):
                down.setdefault(component.name, []).append((worker, component))
    for name, found in down.items():
        worker, component = found[0]
        where = f" of {worker}" if worker else ""
        more = f", and in {len(found) - 1} more processes" if len(found) > 1 else ""
        error = f": {component.error}" if component.error else ""
        state = f"is {component.state}" if component.state not in FINE else f"has died {component.restarts} times"
        yield DOWN.incident(
            f"{name}{where} {state}{more}{error}.",
            fleet.at,
            affected=len(found),
            of=len(fleet.processes) or None,
            what="processes",
            component=name,
            workers=[worker for worker, _ in found if worker],
        )


def _of_this_process(fleet: FleetStatus) -> Iterator[Incident]:
    """Other processes do not report these."""
    pool, descriptors = fleet.pose_pool, fleet.descriptors
    if pool is not None and pool.warm < pool.processes:
        yield POSE_POOL.incident(
            f"{pool.warm} of {pool.processes} pose processes are warm.",
            fleet.at,
            affected=pool.processes - pool.warm,
            of=pool.processes,
            what="pose processes",
        )
    if descriptors is not None and descriptors.needed > descriptors.limit:
        title = f"Too few descriptors: {descriptors.limit} of {descriptors.needed} that may be needed; raise ulimit -n."
        yield DESCRIPTORS.incident(title, fleet.at)


def _of(kind: IncidentKind, title: str, processes: Sequence[Process], fleet: FleetStatus) -> Incident:
    return kind.incident(
        title,
        fleet.at,
        affected=len(processes),
        of=len(fleet.processes),
        what="processes",
        workers=[process.worker for process in processes],
    )
