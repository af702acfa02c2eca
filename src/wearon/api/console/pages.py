"""The page, its scripts, styles and icons, and the sample pictures. There is no data in any of them."""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

import wearon
from wearon.samples import GARMENTS, PEOPLE

FOLDER = Path(wearon.__file__).parent / "console"

SAMPLES = {sample.file_name: sample for sample in (*PEOPLE, *GARMENTS)}

router = APIRouter(include_in_schema=False)


@router.get("/console")
@router.get("/console/")
async def page() -> FileResponse:
    """The one page; what it shows stands behind the # of its address."""
    return FileResponse(FOLDER / "index.html")


@router.get("/console/samples/{name}")
async def sample(name: str) -> FileResponse:
    """A picture that ships with the package."""
    if name not in SAMPLES:
        raise HTTPException(404)
    return FileResponse(str(SAMPLES[name].path))


def static_files() -> StaticFiles:
    """Everything else in the folder."""
    return StaticFiles(directory=FOLDER)
