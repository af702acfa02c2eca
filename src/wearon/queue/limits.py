"""Limits and weights of tenants: who may start how many jobs, and how often whose turn comes.

All processes should have the same: the consumer that enqueues a task counts the day, the worker that takes a job goes
by its own weights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from wearon.queue.tenants import B2C

LEAST_WEIGHT = 0.001
GREATEST_WEIGHT = 1000.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What each store may have, and what a turn is worth."""

    store_at_once: int = 0
    """Jobs of one store that run at the same time. 0: half of the fleet's slots while others wait, else all."""
    store_a_day: int = 0
    """Tasks of one store that are accepted on one day (UTC). 0: any number."""
    b2c_weight: float = 10.0
    """How many stores b2c counts for."""
    store_weights: Mapping[str, float] = field(default_factory=dict)
    """Store id -> how many ordinary stores it counts for."""

    @property
    def weights(self) -> str:
        """The weights by tenant, as JSON for the script that takes jobs; other tenants count once."""
        stores = {f"b2b:{store}": weight for store, weight in self.store_weights.items()}
        return json.dumps({B2C: self.b2c_weight, **stores}, separators=(",", ":"))


NO_LIMITS = Limits()
