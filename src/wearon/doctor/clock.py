"""Compares this machine's clock with that of a service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from wearon.doctor.findings import Finding, Promise, fault, ok, warning

DATE_STEP_S = 1.0
"""An HTTP date has whole seconds, cut off."""

NOTICED_S = 2.0
"""From here on ages in lists and the order of log lines mislead people."""

TOO_FAR_S = 60.0
"""What GENERATION_DEADLINE_S (540 s) leaves until the platform's cron fails a session (600 s), and a tenth of the age
from which a session can be an orphan: beyond it, sessions are ended while a worker still has them."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A service's clock, read between two readings of ours. `step_s` is how coarse theirs is."""

    asked: datetime
    theirs: datetime
    answered: datetime
    step_s: float = 0.0

    @property
    def ahead_s(self) -> float:
        """How far our clock is ahead of theirs at least, negative when it is behind: 0 when it may be the same."""
        earliest = (self.asked - self.theirs).total_seconds() - self.step_s
        latest = (self.answered - self.theirs).total_seconds()
        return max(0.0, earliest) + min(0.0, latest)


def http_reading(asked: datetime, headers: Mapping[str, str], answered: datetime | None = None) -> ClockReading | None:
    """What an answer's Date header says; None when there is none."""
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return ClockReading(asked, date.replace(tzinfo=date.tzinfo or UTC), answered or datetime.now(UTC), DATE_STEP_S)


def judge_clock(check: str, whose: str, reading: ClockReading | None) -> Finding:
    """The finding about a reading of a clock."""
    if reading is None:
        return warning(check, f"{whose} does not tell its time", "compare this machine's clock with another one")
    ahead_s = reading.ahead_s
    if abs(ahead_s) < NOTICED_S:
        return ok(check, f"agrees with {whose}")
    message = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {whose}'s"
    hint = "let NTP set it (timedatectl set-ntp true); in a container it is the host's"
    if abs(ahead_s) < TOO_FAR_S:
        return warning(check, message, hint)
    return fault(check, f"{message}: sessions are taken for lost too early or too late", hint, Promise.EVERY_TASK_ENDS)
