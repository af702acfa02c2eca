"""`GET /docs`: local mode shows the API's description in a browser, without the internet."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent / "docs"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Swagger UI writes styles of its own into the page."""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> FileResponse:
    """The page, which reads `/openapi.json` as any caller does."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


@router.get("/docs/{name}")
async def part(name: str) -> FileResponse:
    """Our start, or Swagger UI, which fastapi-offline carries."""
    if name == "start.js":
        return FileResponse(FOLDER / name, headers=HEADERS)
    if name not in {"swagger-ui-bundle.js", "swagger-ui.css"}:
        raise HTTPException(404)
    return FileResponse(str(files("fastapi_offline") / "static" / name), headers=HEADERS)
