"""What tests of running workers share."""

import pytest

from wearon.queue import lease as leases
from wearon.queue import worker as job_worker


@pytest.fixture
def only_wake_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats come quickly and nobody polls: whatever a test waits for must come of a wake-up."""
    monkeypatch.setattr(job_worker, "FALLBACK_POLL_S", 3600.0)
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
