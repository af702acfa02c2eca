"""Looks for incidents regularly, so that their begin and end are known and logged without a watcher.

It costs one Redis command a look and one a change. While this process knows of nothing wrong it looks rarely: what
happens elsewhere is the others' to notice. What began and ended between two looks is told by the process that saw it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.dependencies import MOST_ENDED, EndedRefusal
from wearon.operations.incident_memory import Change, Memory
from wearon.operations.incident_model import Incident, Severity
from wearon.operations.incidents import with_cost, with_its_end
from wearon.operations.incidents.components import FINE, LAG_S, SEEN_HERE, keeps_dying
from wearon.operations.incidents.dependencies import that_ended
from wearon.operations.incidents.queue import hangs
from wearon.operations.models import FleetStatus
from wearon.operations.report import Reporter
from wearon.operations.status import StatusReader
from wearon.queue import keys
from wearon.queue.lease import Lease
from wearon.redis.cancellation import heed_cancellation
from wearon.redis.scripts import load_script

log = structlog.get_logger()

TICK_S = 4.0
"""Between two looks at this process, which cost no command."""

LOOK_S = 8.0
"""Between two looks at the fleet while something is wrong."""

BUSY_S = 60.0
"""While jobs run or there are mere warnings; only the first process of the fleet looks that often."""

IDLE_S = 600.0
"""While nothing happens."""

WRITE_S = 1.0
"""A Redis that takes longer is tried again with the next look."""


class IncidentKeeper:
    """Keeps the fleet's memory of incidents. `reporter` and `lease` say what this process itself knows."""

    def __init__(self, redis: Redis, status: StatusReader, reporter: Reporter, lease: Lease) -> None:
        self._status = status
        self._reporter = reporter
        self._lease = lease
        self._script = redis.register_script(load_script("operations", "note_incidents"))
        self._known: dict[str, Incident] = {}
        """What has begun while Redis could not be written, as this process sees it."""
        self._over = deque[EndedRefusal](maxlen=MOST_ENDED)
        """What this process saw begin and end, and has not written down yet."""
        self._pause_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        looked_at = float("-inf")
        while True:
            heed_cancellation()
            await asyncio.sleep(TICK_S)
            due_s = min(self._pause_s, LOOK_S) if self._is_suspicious() else self._pause_s
            if loop.time() - looked_at >= due_s:
                looked_at = loop.time()
                await self.look()

    async def look(self) -> None:
        """Compare what is wrong with what the fleet remembers, and write down the difference."""
        self._over.extend(self._reporter.take_ended())
        fleet = await self._status.read()
        remembered = self._status.remembered
        if remembered is None or not await self._note(fleet, remembered):
            self._note_here(fleet)
        self._pause_s = self._pause_after(fleet)

    def _is_suspicious(self) -> bool:
        """Whether this process knows of something that may be an incident, without a look at the fleet."""
        report, fleet = self._reporter.report(), self._lease.fleet
        self._over.extend(self._reporter.take_ended())
        return bool(
            report.refusals
            or self._over
            or self._reporter.silent_s() > LOOK_S
            or report.loop_lag_s > LAG_S
            or any(part.state not in FINE or keeps_dying(part, datetime.now(UTC)) for part in report.parts)
            or any(hangs(job) for job in report.jobs)
            or fleet.refunds
            or not fleet.capacity
        )

    async def _note(self, fleet: FleetStatus, remembered: Mapping[str, bytes]) -> bool:
        """False when Redis takes no writes."""
        found = {incident.key for incident in fleet.incidents}
        brief = {one.key: one for one in that_ended(self._over, self._lease.worker_id, fleet)}
        missed = [incident for key, incident in (brief | self._known).items() if key not in found]
        changes = [
            replace(change, after=_with_its_end(change.after, fleet)) if change.after and change.ends else change
            for change in Memory.read(remembered).changes(fleet.incidents, fleet.at, missed)
        ]
        try:
            written = await self._write(changes) if changes else []
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("incidents not written down", error=str(error))
            return False
        for change, is_ours in zip(changes, written, strict=True):
            if is_ours and change.after is not None:
                self._tell(change.after, begins=change.begins and change.key not in self._known, ends=change.ends)
        self._known.clear()
        self._over.clear()
        return True

    async def _write(self, changes: list[Change]) -> list[int]:
        arguments = [part for change in changes for part in (change.key, change.before, change.text)]
        async with asyncio.timeout(WRITE_S):
            return cast("list[int]", await self._script(keys=[keys.INCIDENTS], args=arguments))

    def _note_here(self, fleet: FleetStatus) -> None:
        """While nothing can be written, each process tells of what it sees itself."""
        for incident in fleet.incidents:
            if incident.code not in SEEN_HERE and incident.key not in self._known:
                self._known[incident.key] = incident
                self._tell(incident, begins=True)

    def _pause_after(self, fleet: FleetStatus) -> float:
        remembered = [incident for incident in fleet.recovered if incident.recovered_at == fleet.at]
        if remembered or any(incident.severity is Severity.CRITICAL for incident in fleet.incidents):
            return LOOK_S
        is_first = not fleet.processes or fleet.processes[0].worker == self._lease.worker_id
        is_busy = bool(fleet.incidents) or fleet.queues is None or fleet.queues.jobs > 0
        return BUSY_S if is_first and is_busy else IDLE_S

    def _tell(self, incident: Incident, *, begins: bool = False, ends: bool = False) -> None:
        """One line at the begin and one at the end, of the one process that wrote it down."""
        facts = {
            "code": incident.code,
            "incident": incident.key,
            "severity": incident.severity.value,
            "title": incident.title,
            "since": incident.since.isoformat(timespec="seconds"),
        }
        if begins:
            log.warning("incident begins", **facts)
        if ends and incident.recovered_at is not None:
            lasted_s = round((incident.recovered_at - incident.since).total_seconds(), 1)
            cost = incident.cost.model_dump(mode="json", exclude_defaults=True)
            after = {"after_last_refusal_s": incident.after_last_refusal_s, "after_answer_s": incident.after_answer_s}
            known = {name: seconds for name, seconds in after.items() if seconds is not None}
            log.info("incident ends", **facts, lasted_s=lasted_s, **known, **cost)


def _with_its_end(incident: Incident, fleet: FleetStatus) -> Incident:
    """What it has cost; and of one whose end a look found, for how long the service had been back."""
    over = with_cost(incident, fleet)
    return with_its_end(over, fleet) if over.recovered_at == fleet.at else over
