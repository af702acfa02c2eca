"""`GET /health` and `GET /health/live`: always 200, because a process that answers is there, and says how it is."""

from fastapi import APIRouter

from wearon.api.dependencies import Services
from wearon.operations.models import Health

router = APIRouter()


@router.get("/health/", include_in_schema=False)
@router.get("/health")
async def health(services: Services) -> Health:
    """What works, component by component."""
    return Health.of(await services.status.read())


@router.get("/health/live/", include_in_schema=False)
@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers, without asking Redis or any other service: for container health checks."""
    return {"status": "ok"}
