"""The charts in Redis: one hash a store, and one hash that counts the charts of each store.

A chart lies there as version, time and document, as JSON. Numbers of versions begin at 1, and again after a delete.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from wearon.queue import keys
from wearon.queue.audit_log import Action, Actor, AuditLog
from wearon.redis.scripts import load_script
from wearon.sizing import SizeChart

MOST_STORES = 1000
MOST_CHARTS = 50
"""Stores, and charts of one store, that are kept."""

MAX_CHART_BYTES = 32 * 1024
"""A chart as JSON with all figures written as ranges; a request has half of it. A usual chart has 1 KB."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Of a store, such as its uuid, and of a chart."""

REFERENCE = re.compile(rf"({NAME})/({NAME})")
_KEPT = re.compile(rb"([0-9]{1,15}) ([0-9]{1,14}) (.*)", re.DOTALL)
"""Version, time in ms (the last one is of the year 5138), document."""

Name = Annotated[str, Field(pattern=f"^{NAME}$")]


class ChartError(Exception):
    """A chart cannot be read or written: UnknownChart, UnreadableChart, ChartChanged or TooManyCharts."""


class UnknownChart(ChartError):
    """There is no chart of that name."""


class UnreadableChart(ChartError):
    """What is kept is no chart to this version: a newer one has kept it, or something else has written there."""


class ChartChanged(ChartError):
    """The chart is not of the version that was to be replaced."""


class TooManyCharts(ChartError):
    """A limit is reached: of the charts of a store, of stores, or of a chart's bytes."""


@dataclass(frozen=True, slots=True)
class ChartReference:
    """A chart's store and name."""

    store: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `store/name`. Raises ValueError."""
        found = REFERENCE.fullmatch(text)
        if found is None:
            raise ValueError(f"not STORE/NAME, each of up to 64 letters, digits, dots, dashes and underscores: {text}")
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: int
    stored_at: datetime
    """When this version was stored, by the clock of the Redis server."""


class KeptChart(_Value):
    """A chart of a shop."""

    chart: SizeChart


class ChartSummary(_Value):
    """A chart of a shop without the chart itself."""

    name: str
    size_bytes: int


class ChartStore:
    """Reads and writes the charts. All methods raise redis errors."""

    def __init__(self, redis: Redis, audit_log: AuditLog) -> None:
        self._redis = redis
        self._audit_log = audit_log
        # They begin as the queue's scripts do, because they write into the audit log.
        self._put = redis.register_script(load_script("shop_charts", "put", shared_by="queue"))
        self._delete = redis.register_script(load_script("shop_charts", "delete", shared_by="queue"))

    async def put(
        self, reference: ChartReference, chart: SizeChart, by: Actor, *, replaces: int | None = None
    ) -> KeptChart:
        """Keep the chart as the next version; the same chart again stays the version that it is.

        A new version is an entry of the audit log. `replaces` is the version that the caller has seen (0: none); None:
        whichever there is. Raises ChartChanged, TooManyCharts.
        """
        document = chart.model_dump_json(exclude_unset=True)
        if len(document.encode()) > MAX_CHART_BYTES:
            raise TooManyCharts(f"a chart may have {MAX_CHART_BYTES} bytes")
        found = await self._put(
            keys=[keys.CHART_STORES, keys.CHARTS + reference.store],
            args=[
                reference.store,
                reference.name,
                document,
                "" if replaces is None else replaces,
                MOST_STORES,
                MOST_CHARTS,
                self._audit_log.document(by, Action.PUT_CHART, str(reference)),
            ],
        )
        outcome, version, at_ms = cast("tuple[bytes, int, int]", found)
        match outcome:
            case b"changed":
                raise ChartChanged(f"{reference} has version {version} by now")
            case b"charts":
                raise TooManyCharts(f"a store may keep {MOST_CHARTS} charts")
            case b"stores":
                raise TooManyCharts(f"{MOST_STORES} stores keep charts already")
        return KeptChart(version=version, stored_at=_moment(at_ms), chart=chart)

    async def get(self, reference: ChartReference) -> KeptChart:
        """The chart. Raises UnknownChart, UnreadableChart."""
        kept = cast("bytes | None", await self._redis.hget(keys.CHARTS + reference.store, reference.name))
        if kept is None:
            raise UnknownChart(f"there is no chart {reference}")
        version, stored_at, document = _read(kept)
        try:
            chart = SizeChart.model_validate_json(document)
        except ValidationError as error:
            raise UnreadableChart(f"{reference} is no chart to this version") from error
        return KeptChart(version=version, stored_at=stored_at, chart=chart)

    async def delete(self, reference: ChartReference, by: Actor) -> None:
        """Forget the chart, with an entry of the audit log. Raises UnknownChart."""
        entry = self._audit_log.document(by, Action.DELETE_CHART, str(reference))
        deleted = await self._delete(
            keys=[keys.CHART_STORES, keys.CHARTS + reference.store], args=[reference.store, reference.name, entry]
        )
        if not deleted:
            raise UnknownChart(f"there is no chart {reference}")

    async def stores(self) -> Mapping[str, int]:
        """How many charts each store keeps."""
        found = cast("Mapping[bytes, bytes]", await self._redis.hgetall(keys.CHART_STORES))
        counts = {store: int(count) if count.isdigit() else 0 for store, count in found.items()}
        return {store.decode(errors="replace"): counts[store] for store in sorted(counts)}

    async def list(self, store: str) -> Sequence[ChartSummary]:
        """The charts of a store, by name. Raises UnreadableChart."""
        found = cast("Mapping[bytes, bytes]", await self._redis.hgetall(keys.CHARTS + store))
        summaries = []
        for name, kept in sorted(found.items()):
            version, stored_at, document = _read(kept)
            summaries.append(
                ChartSummary(
                    name=name.decode(errors="replace"), version=version, stored_at=stored_at, size_bytes=len(document)
                )
            )
        return summaries


def _read(kept: bytes) -> tuple[int, datetime, bytes]:
    found = _KEPT.fullmatch(kept)
    if found is None:
        raise UnreadableChart("what is kept there is no chart")
    return int(found[1]), _moment(int(found[2])), found[3]


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
