"""What classes report to in tests that do not look at it."""

from typing import TypedDict

from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing


class Observers(TypedDict):
    metrics: Metrics
    tracing: Tracing


class PlatformObservers(Observers):
    dependencies: Dependencies


def observers() -> Observers:
    return {"metrics": Metrics(), "tracing": Tracing()}


def platform_observers() -> PlatformObservers:
    return {**observers(), "dependencies": Dependencies()}
