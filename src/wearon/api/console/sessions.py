"""The views Now and Sessions: what is going on, and the story of one session."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from wearon.api.console.parts import TheConsole, TheParts
from wearon.api.console.patience import PatientRoute
from wearon.overview.models import Now, SessionStory, SessionSummary
from wearon.samples import GARMENTS, PEOPLE

router = APIRouter(route_class=PatientRoute)


class SamplePerson(BaseModel):
    """A picture that ships with the package, and a height that fits it."""

    file: str
    height_cm: int


class Hello(BaseModel):
    """What the page needs to know before it shows anything."""

    mode: str
    version: str
    logged_in: bool
    """There is a cookie to take back."""
    try_on: bool
    people: Sequence[SamplePerson]
    garments: Sequence[str]


class PictureLink(BaseModel):
    """A short-lived URL."""

    url: str


@router.get("/hello")
async def hello(console: TheConsole) -> Hello:
    """Who answers, and what can be done here."""
    return Hello(
        mode=console.parts.mode,
        version=version("wearon"),
        logged_in=console.doorkeeper is not None,
        try_on=console.parts.producer is not None,
        people=[SamplePerson(file=person.file_name, height_cm=person.height_cm) for person in PEOPLE],
        garments=[garment.file_name for garment in GARMENTS],
    )


@router.get("/now")
async def now(parts: TheParts) -> Now:
    """The same as one live event."""
    return await parts.overview.now()


@router.get("/sessions")
async def find(term: Annotated[str, Query(min_length=1, max_length=200)], parts: TheParts) -> Sequence[SessionSummary]:
    """Sessions by session, request, user or store id."""
    return await parts.overview.find_sessions(term.strip())


@router.get("/sessions/{session_id}")
async def story(session_id: Annotated[str, Field(max_length=200)], parts: TheParts) -> SessionStory:
    """All that is known of one."""
    found = await parts.overview.story(session_id)
    if found is None:
        raise HTTPException(404, "There is no such session")
    return found


@router.post("/sessions/{session_id}/pictures/{name:path}")
async def sign_picture(
    session_id: Annotated[str, Field(max_length=200)], name: Annotated[str, Field(max_length=200)], parts: TheParts
) -> PictureLink:
    """Sign one of its pictures. A POST: it makes something that opens a customer's photo."""
    url = await parts.overview.sign_picture(session_id, name)
    if url is None:
        raise HTTPException(404, "This picture cannot be had")
    return PictureLink(url=url)
