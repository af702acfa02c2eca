"""Roles: who may do what over HTTP. Each role is proved by a token of its own (`wearon.api.token`).

Everything behind HTTP belongs to one of four doors. A door that nobody has a token for is open in local mode; in
production the insides (metrics, console) are not there then, and estimates are open unless they are closed on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a token allows (`SETTINGS` names each role's)."""

    OPERATOR = "operator"
    """Everything."""
    VIEWER = "viewer"
    """Reading the console and the metrics."""
    METRICS = "metrics"
    """The metrics."""
    CALLER = "caller"
    """Asking for sizes where that needs a token."""


SETTINGS = {
    Role.OPERATOR: "API_TOKEN",
    Role.VIEWER: "VIEWER_TOKEN",
    Role.METRICS: "METRICS_TOKEN",
    Role.CALLER: "ESTIMATE_TOKEN",
}
"""The setting that holds each role's token."""


class Door(StrEnum):
    """What can be closed by itself."""

    ESTIMATE = "estimate"
    METRICS = "metrics"
    CONSOLE = "console"
    """Reading what the console shows."""
    ACTIONS = "actions"
    """What changes something, in the console or over its routes."""


OPENED_BY: Mapping[Door, frozenset[Role]] = {
    Door.ESTIMATE: frozenset({Role.OPERATOR, Role.CALLER}),
    Door.METRICS: frozenset({Role.OPERATOR, Role.VIEWER, Role.METRICS}),
    Door.CONSOLE: frozenset({Role.OPERATOR, Role.VIEWER}),
    Door.ACTIONS: frozenset({Role.OPERATOR}),
}

ESTIMATE_PATHS = frozenset({"/estimate-body", "/estimate-feedback", "/openapi.json"})
"""Who may ask for sizes may read how to, and tell what became of them."""

DOCS = "/docs"
"""Local mode's page for it."""

METRICS_PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens that there are, and whether estimates need one."""

    tokens: Mapping[Role, str] = field(default_factory=dict, repr=False)
    estimate_is_open: bool = True

    def holders(self, door: Door) -> frozenset[Role]:
        """The roles that open the door and have a token; none: no caller can pass."""
        return OPENED_BY[door] & self.tokens.keys()

    def wanted(self, path: str) -> frozenset[Role]:
        """The roles of which a request for the path must prove one; none: it is open.

        The console and what is open in any case are not asked here (`wearon.api.middleware`).
        """
        if path in ESTIMATE_PATHS or path.startswith(DOCS):
            return frozenset() if self.estimate_is_open else OPENED_BY[Door.ESTIMATE]
        if path == METRICS_PATH:
            return self.holders(Door.METRICS) and OPENED_BY[Door.METRICS]
        return OPENED_BY[Door.ACTIONS] if self.tokens else frozenset()


NO_TOKENS = Access()
"""What local mode has when no token is set."""
