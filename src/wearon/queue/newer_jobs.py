"""Jobs that only a newer version of this worker can run: left to one for a while, and shown as a refusal meanwhile."""

import time

import structlog

from wearon.dependencies import Dependencies, Dependency, RefusalKind

log = structlog.get_logger()

LEAVE_TO_NEWER_S = 30.0
"""Before such a job may be taken again: a newer worker takes it within that time, if there is one."""

LEFT_FOR_S = 600.0
"""How long it is left there. As long as the platform itself waits for a session; longer than any deployment."""

_ASKED = "jobs of a newer version"


class NewerJobs:
    """What this process has seen of them. `dependencies` shows that some wait."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._since: dict[str, float] = {}
        self._last_at = float("-inf")

    def leave(self, job_id: str, why: str) -> bool:
        """Whether it is (still) left to a newer worker."""
        now = self._last_at = time.monotonic()
        words = "a job of a newer version waits for a newer worker"
        self._dependencies.refused(Dependency.REDIS, words, _ASKED, RefusalKind.NEWER_JOBS)
        self._since = {known: since for known, since in self._since.items() if now - since < 2 * LEFT_FOR_S}
        if job_id not in self._since:
            log.warning("job of a newer version is left to a newer worker", job_id=job_id, why=why)
        return now - self._since.setdefault(job_id, now) < LEFT_FOR_S

    def look(self) -> None:
        """Show no refusal any more when none has come by for a while."""
        if time.monotonic() - self._last_at > 2 * LEAVE_TO_NEWER_S:
            self._dependencies.answered(Dependency.REDIS, _ASKED)
