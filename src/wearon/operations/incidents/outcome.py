"""Sessions that fail more often than they should, one store's pictures, and OpenAI's rate limit."""

from collections import Counter
from collections.abc import Iterator

from wearon.operations.incident_model import Action, Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus, Minute
from wearon.tryon.causes import EXPECTED

LATELY = 15
"""Minutes over which failures are counted."""

MANY_FAILED = (5, 0.2)
"""At least so many, and at least this share of what ended: single ones happen."""

OF_ONE_STORE = 5
"""Sessions of one store whose pictures could not be used: shoppers' own photos fail one by one."""

LIMITED = 5
"""Minutes in a row in which OpenAI's rate limit was reached: a burst is over sooner."""

FAIL = IncidentKind(
    "generations_fail",
    Severity.WARNING,
    "Sessions go on failing; their credits are refunded.",
    "Look at the failed sessions: each says why.",
    (
        Action(
            label="Show failed sessions",
            view=f"sessions?cause=failed:&since={LATELY}m",
            command=f"wearon sessions --cause failed: --since {LATELY}m",
        ),
    ),
)
PICTURES = IncidentKind(
    "pictures_of_store",
    Severity.WARNING,
    "Every shopper of that store who tries on these garments gets an error; the credits are refunded.",
    "Tell the store: its garment pictures cannot be fetched or read. A failed session says which picture, and why.",
)
RATE_LIMIT = IncidentKind(
    "rate_limit_reached",
    Severity.WARNING,
    "Jobs are retried after a minute; after OPENAI_MAX_RETRIES their sessions fail with a refund.",
    "Set OPENAI_REQUESTS_PER_MINUTE to what the OpenAI account allows, or ask OpenAI for more.",
)
KINDS = (FAIL, PICTURES, RATE_LIMIT)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of what ended lately."""
    lately = fleet.last_hour[-LATELY:]
    if not lately:
        return
    yield from _failures(lately)
    for tenant, count in _sum(lately, "picture").items():
        if count >= OF_ONE_STORE:
            store = tenant.partition(":")[2]
            yield PICTURES.incident(
                f"{count} sessions of the store {store} failed because a picture cannot be used.",
                lately[0].at,
                tenant=tenant,
                affected=count,
                of=max(count, sum(minute.failed for minute in lately)),
                what="failed sessions",
                actions=[
                    Action(
                        label="Show its sessions",
                        view=f"sessions?status=failed&reason=picture&owner_id={store}&since={LATELY}m",
                        command=f"wearon sessions --status failed --reason picture --owner {store} --since {LATELY}m",
                    )
                ],
            )
    limited = [_sum([minute], "retried", "openai.rate_limited.") for minute in lately[-LIMITED:]]
    if len(limited) == LIMITED and all(sum(counts.values()) for counts in limited):
        title = f"OpenAI's rate limit was reached in each of the last {LIMITED} minutes."
        yield RATE_LIMIT.incident(title, lately[-LIMITED].at)


def _failures(lately: list[Minute]) -> Iterator[Incident]:
    """Count failures, without those of the safety filter and of unusable pictures, which are expected."""
    causes = _sum(lately, "failed")
    expected = sum(causes.pop(cause) for cause in list(causes) if cause.startswith(EXPECTED))
    failed = sum(minute.failed for minute in lately) - expected
    ended = failed + sum(minute.completed for minute in lately)
    fewest, share = MANY_FAILED
    if failed < fewest or failed < share * ended:
        return
    most = "".join(f", most often for: {cause}" for cause, _ in causes.most_common(1))
    yield FAIL.incident(
        f"{failed} of {ended} generations of the last {LATELY} minutes failed{most}.",
        lately[0].at,
        affected=failed,
        of=ended,
        what="sessions",
    )


def _sum(minutes: list[Minute], kind: str, begins: str = "") -> Counter[str]:
    """The counters `kind:...`, by what comes after the colon."""
    sums = Counter[str]()
    for minute in minutes:
        for name, count in minute.causes.items():
            found, _, what = name.partition(":")
            if found == kind and what.startswith(begins):
                sums[what] += count
    return sums
