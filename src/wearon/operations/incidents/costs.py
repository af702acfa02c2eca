"""What an incident has cost, by the counters of the minutes since it began."""

from datetime import timedelta
from decimal import Decimal

from wearon.operations.incident_model import Cost, Incident
from wearon.operations.models import FleetStatus
from wearon.tryon.causes import EXPECTED

MICRO = 1_000_000

CAUSES = {
    "generations_fail": "",
    "redis_away": "redis.",
    "redis_read_only": "redis.",
    "redis_full": "redis.",
    "supabase_rest_away": "supabase.away.",
    "supabase_storage_away": "supabase.",
    "supabase_key_refused": "supabase.",
    "supabase_bucket_missing": "supabase.",
    "supabase_refused": "supabase.refused.",
    "openai_key_refused": "openai.key_refused.",
    "openai_quota_used_up": "openai.quota_used_up.",
    "openai_no_model": "openai.no_model.",
    "openai_away": "openai.away.",
    "rate_limit_reached": "openai.rate_limited.",
    "machine_refused": "machine.",
}
"""Incidents that cost something, and how the causes begin (`wearon.tryon.causes`) that are theirs."""


def with_cost(incident: Incident, fleet: FleetStatus) -> Incident:
    """The incident with what it has cost so far."""
    begins = CAUSES.get(incident.code)
    if begins is None or not fleet.last_hour:
        return incident
    first = incident.since - timedelta(minutes=1)

    def total(kind: str) -> int:
        return sum(
            count
            for minute in fleet.last_hour
            if minute.at > first
            for name, count in minute.causes.items()
            if name.startswith(f"{kind}:{begins}") and not name.partition(":")[2].startswith(EXPECTED)
        )

    cost = Cost(
        failed=total("failed"),
        refunded=total("refunded"),
        retried=total("retried"),
        cost_usd=Decimal(total("lost")) / MICRO,
        cause=begins,
    )
    return incident.model_copy(update={"cost": cost})
