"""What a process remembers of the charts: estimates go on while Redis is away, and never wait for it for long.

A chart that is used costs one Redis command a minute and process. A change is seen after a minute at most, or when
Redis is there again.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from wearon.redis.allowance import Allowance
from wearon.shop_charts.store import ChartReference, ChartStore, KeptChart, UnknownChart, UnreadableChart

log = structlog.get_logger()

FRESH_S = 60.0
"""How long a chart is used before it is read again; also how long an unknown one is not asked for again."""

PATIENCE_S = 0.25
"""How long an estimate waits for Redis: 100 ms to a far region, and a new connection there. The promise is an answer
within a second."""

AWAY_S = 5.0
"""How long nothing is asked after Redis did not answer in time: for that long estimates do not wait at all."""

MOST_CHARTS = 256
"""Charts remembered. The least used one is forgotten first; 256 of 40 sizes take some 10 MB."""

MOST_UNKNOWN = 1024
"""Names remembered that no chart has."""

NEW_A_SECOND, NEW_AT_ONCE = 10.0, 50
"""Charts that are not remembered and may be asked for: a stranger can make up names all day."""

MOST_READS = 4
"""Reads under way: jobs share the connections."""


class ChartsAway(Exception):
    """The chart is not remembered, and cannot be read now."""


@dataclass(slots=True)
class _Remembered:
    kept: KeptChart
    read_again_at: float


class ChartCache:
    """The charts that this process has used."""

    def __init__(self, store: ChartStore, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._store = store
        self._clock = clock
        self._charts: OrderedDict[ChartReference, _Remembered] = OrderedDict()
        self._unknown: OrderedDict[ChartReference, float] = OrderedDict()
        self._reads: dict[ChartReference, asyncio.Task[None]] = {}
        self._new = Allowance(NEW_A_SECOND, NEW_AT_ONCE, clock)
        self._away_until = float("-inf")

    async def find(self, reference: ChartReference) -> KeptChart:
        """The chart, at most `FRESH_S` old while Redis answers. Raises UnknownChart, ChartsAway."""
        remembered = self._charts.get(reference)
        if remembered is None or remembered.read_again_at <= self._clock():
            await self._refresh(reference)
            remembered = self._charts.get(reference)
        if remembered is None:
            if reference in self._unknown:
                raise UnknownChart(f"there is no chart {reference}")
            raise ChartsAway(f"the chart {reference} cannot be read at the moment")
        self._charts.move_to_end(reference)
        return remembered.kept

    def forget(self, reference: ChartReference) -> None:
        """Read the chart again when it is next asked for: it was changed here."""
        self._unknown.pop(reference, None)
        if reference in self._charts:
            self._charts[reference].read_again_at = float("-inf")

    async def _refresh(self, reference: ChartReference) -> None:
        now = self._clock()
        if self._unknown.get(reference, now) > now:
            return
        self._unknown.pop(reference, None)
        if now < self._away_until:
            return
        reading = self._reads.get(reference)
        if reading is None:
            if len(self._reads) >= MOST_READS or (reference not in self._charts and not self._new.take()):
                return
            reading = self._reads[reference] = asyncio.create_task(self._read(reference))
        # The reading goes on when it takes longer, or when this caller is gone: others wait for it, too.
        _, late = await asyncio.wait({reading}, timeout=PATIENCE_S)
        if late:
            self._away_until = self._clock() + AWAY_S

    async def _read(self, reference: ChartReference) -> None:
        try:
            kept = await self._store.get(reference)
        except UnknownChart:
            self._charts.pop(reference, None)
            self._unknown[reference] = self._clock() + FRESH_S
            if len(self._unknown) > MOST_UNKNOWN:
                self._unknown.popitem(last=False)
        except UnreadableChart as error:
            log.warning("a size chart cannot be read: the one that was read last is used", error=str(error))
            if reference in self._charts:
                self._charts[reference].read_again_at = self._clock() + FRESH_S
        except (RedisError, OSError) as error:
            log.warning("size charts are out of reach: those that were read last are used", error=str(error))
            self._away_until = self._clock() + AWAY_S
        else:
            self._charts[reference] = _Remembered(kept, self._clock() + FRESH_S)
            if len(self._charts) > MOST_CHARTS:
                self._charts.popitem(last=False)
        finally:
            del self._reads[reference]
