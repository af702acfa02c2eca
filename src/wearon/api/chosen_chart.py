"""The size chart of one estimate: the shop's in the request, one that the shop keeps here, or ours."""

from dataclasses import dataclass

import structlog
from fastapi import HTTPException

from wearon.api.dependencies import ApiServices
from wearon.feedback.estimate_id import EstimateIds
from wearon.shop_charts.cache import AWAY_S, ChartsAway
from wearon.shop_charts.store import ChartReference, UnknownChart
from wearon.sizing import DEFAULT_CHART, SizeChart, SizeEstimate

log = structlog.get_logger()

UNKNOWN_CHART = "Unknown size chart"
CHARTS_AWAY = "Size charts are temporarily unavailable"


@dataclass(frozen=True, slots=True)
class ChosenChart:
    """What the sizes come from."""

    chart: SizeChart
    store: str = ""
    """The shop that keeps the chart here; empty: it came with the request."""
    version: int | None = None

    def identify(self, answer: SizeEstimate, ids: EstimateIds) -> SizeEstimate:
        """The answer with the chart's version, and an id for the shop's feedback."""
        estimate_id = ids.seal(answer, self.chart, self.store)
        return answer.model_copy(update={"estimate_id": estimate_id, "chart_version": self.version})


async def choose_chart(kept: str | None, own: SizeChart | None, services: ApiServices) -> ChosenChart:
    """The chart that the request names as `store/name`, or brings. Raises HTTPException."""
    if kept is None:
        return ChosenChart(own or DEFAULT_CHART)
    reference = ChartReference.parse(kept)
    try:
        found = await services.shops.chart_cache.find(reference)
    except UnknownChart as error:
        log.info("estimate refused: unknown size chart", chart=kept)
        raise HTTPException(400, UNKNOWN_CHART) from error
    except ChartsAway as error:
        log.warning("estimate not possible now", reason=str(error))
        raise HTTPException(503, CHARTS_AWAY, {"Retry-After": f"{AWAY_S:g}"}) from error
    return ChosenChart(found.chart, reference.store, found.version)
