"""`/charts`: the size charts that shops keep here. For operators; estimates name a chart as `store/name`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from wearon.api.console.deadlines import ReadDeadlineRoute
from wearon.api.dependencies import Services, TheActor
from wearon.api.problems import Problem, Unprocessable
from wearon.shop_charts.store import (
    NAME,
    ChartChanged,
    ChartError,
    ChartReference,
    ChartSummary,
    KeptChart,
    TooManyCharts,
    UnknownChart,
    UnreadableChart,
)
from wearon.sizing import SizeChart

log = structlog.get_logger()

STATUS = {UnknownChart: 404, ChartChanged: 409, TooManyCharts: 409, UnreadableChart: 409}

Answers = dict[int | str, dict[str, Any]]
EACH: Answers = {
    403: {"model": Problem, "description": "Not an operator's token; or there is none, and another machine asks"},
    404: {"model": Problem, "description": "There is no such chart, or no such path"},
    422: {"model": Unprocessable, "description": "A malformed name or body"},
    503: {"model": Problem, "description": "Redis does not answer, or there are too many connections"},
}
REFUSED: Answers = {409: {"model": Problem, "description": "Of another version, too many, or of a newer worker"}}

Store = Annotated[str, Path(pattern=f"^{NAME}$", description="The shop, such as its uuid")]
Name = Annotated[str, Path(pattern=f"^{NAME}$", description="The chart")]

PREFIX = "/charts"

router = APIRouter(prefix=PREFIX, route_class=ReadDeadlineRoute, responses=EACH)


class Stores(BaseModel):
    """How many charts each store keeps."""

    stores: Mapping[str, int]


class Charts(BaseModel):
    """The charts of a store, by name."""

    charts: Sequence[ChartSummary]


def add_chart_routes(app: FastAPI) -> None:
    """Add the routes, and the answers to what the store of charts raises."""
    app.include_router(router, tags=["charts"])
    app.add_exception_handler(ChartError, _refused)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    detail = str(error)[:1].upper() + str(error)[1:]
    return JSONResponse({"detail": detail}, next(status for kind, status in STATUS.items() if isinstance(error, kind)))


@router.get("")
async def list_stores(services: Services) -> Stores:
    """Which stores keep charts, and how many."""
    return Stores(stores=await services.shops.charts.stores())


@router.get("/{store}", responses=REFUSED)
async def list_charts(store: Store, services: Services) -> Charts:
    """The charts of a store, without what is in them."""
    return Charts(charts=await services.shops.charts.list(store))


@router.get("/{store}/{name}", responses=REFUSED, response_model_exclude_unset=True)
async def show_chart(store: Store, name: Name, services: Services) -> KeptChart:
    """A chart with its version."""
    return await services.shops.charts.get(ChartReference(store, name))


@router.put("/{store}/{name}", responses=REFUSED, response_model_exclude_unset=True)
async def put_chart(
    store: Store,
    name: Name,
    chart: SizeChart,
    services: Services,
    by: TheActor,
    replaces: Annotated[
        int | None, Query(ge=0, description="The version that is to be replaced, 0 for none; left out: any")
    ] = None,
) -> KeptChart:
    """Keep a chart as the next version. The same chart again changes nothing."""
    reference = ChartReference(store, name)
    kept = await services.shops.charts.put(reference, chart, by, replaces=replaces)
    services.shops.chart_cache.forget(reference)
    log.info("size chart kept", chart=str(reference), version=kept.version)
    return kept


@router.delete("/{store}/{name}", status_code=204)
async def delete_chart(store: Store, name: Name, services: Services, by: TheActor) -> None:
    """Forget a chart. Estimates that name it are refused within a minute."""
    reference = ChartReference(store, name)
    await services.shops.charts.delete(reference, by)
    services.shops.chart_cache.forget(reference)
    log.info("size chart deleted", chart=str(reference))
