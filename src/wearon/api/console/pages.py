"""The page with scripts, styles, icons and sample pictures, none of which holds data."""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from wearon.samples import GARMENTS, PEOPLE

FOLDER = Path(__file__).parent / "page"

SAMPLES = {sample.file_name: sample for sample in (*PEOPLE, *GARMENTS)}

router = APIRouter(include_in_schema=False)


@router.get("/console")
@router.get("/console/")
async def page() -> FileResponse:
    """The one page; the part of its address behind the # says which view it shows."""
    return FileResponse(FOLDER / "index.html")


@router.get("/console/samples/{name}")
async def sample(name: str) -> FileResponse:
    """A picture that ships with the package."""
    if name not in SAMPLES:
        raise HTTPException(404)
    return FileResponse(str(SAMPLES[name].path))


def static_files() -> StaticFiles:
    """Scripts, styles and icons."""
    return StaticFiles(directory=FOLDER)
