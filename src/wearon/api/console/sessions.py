"""The views Now and Sessions: the status of the fleet, and the history of one session."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from wearon.api.console.deadlines import ReadDeadlineRoute
from wearon.api.console.login import TheDoorkeeper
from wearon.api.dependencies import Services, TheActor, TheRole
from wearon.api.roles import OPENED_BY, Door
from wearon.operations.models import FleetStatus, SessionHistory, SessionSummary
from wearon.operations.session_index import SessionPage, SessionQuery, read_cause, read_cursor, read_moment
from wearon.operations.session_search import MAX_TEXT
from wearon.platform.base import Channel
from wearon.queue.audit_log import Action
from wearon.samples import GARMENTS, PEOPLE

MOST_LISTED = 200
"""Sessions of one page, at most."""

router = APIRouter(route_class=ReadDeadlineRoute)


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
    may_act: bool
    """Whether what changes something is allowed, or reading only."""
    try_on: bool
    people: Sequence[SamplePerson]
    garments: Sequence[str]


class PictureLink(BaseModel):
    """A short-lived URL."""

    url: str


@router.get("/hello")
async def hello(services: Services, doorkeeper: TheDoorkeeper, role: TheRole) -> Hello:
    """Who answers, and what can be done here."""
    return Hello(
        mode=services.mode,
        version=version("wearon"),
        logged_in=doorkeeper is not None,
        may_act=role in OPENED_BY[Door.ACTIONS],
        try_on=services.producer is not None,
        people=[SamplePerson(file=person.file_name, height_cm=person.height_cm) for person in PEOPLE],
        garments=[garment.file_name for garment in GARMENTS],
    )


@router.get("/now")
async def now(services: Services) -> FleetStatus:
    """The status of the fleet, as each event of the live view has it."""
    return await services.status.read()


@router.get("/sessions")
async def find(
    term: Annotated[str, Query(min_length=1, max_length=200)], services: Services
) -> Sequence[SessionSummary]:
    """Sessions by session, request, user or store id."""
    return await services.sessions.find(term.strip())


Word = Annotated[str, Query(max_length=50, pattern="^[a-z_]*$")]


@router.get("/session-list")
async def list_sessions(
    services: Services,
    text: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    status: Word = "",
    reason: Word = "",
    refund: Word = "",
    channel: Channel | None = None,
    owner_id: Annotated[str, Query(max_length=100)] = "",
    worker: Annotated[str, Query(max_length=100)] = "",
    cause: Annotated[str, Query(max_length=100)] = "",
    since: Annotated[str, Query(max_length=40)] = "",
    until: Annotated[str, Query(max_length=40)] = "",
    cursor: Annotated[str, Query(max_length=40)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50,
) -> SessionPage:
    """A page of the list, newest first; `since` and `until` are points in time, or spans such as `60m`, `2h`, `1d`.

    `cause` is how one of the causes of its attempts begins: `retried:`, `failed:openai.`, `expected:`.
    """
    try:
        now = datetime.now(UTC)
        query = SessionQuery(
            status=status,
            reason=reason,
            refund=refund,
            channel=channel,
            owner_id=owner_id,
            worker=worker,
            cause=read_cause(cause),
            since=read_moment(since, now),
            until=read_moment(until, now),
            text=text,
        )
        return await services.search.page(query, read_cursor(cursor), limit)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


@router.get("/sessions/{session_id}")
async def history(session_id: Annotated[str, Field(max_length=200)], services: Services) -> SessionHistory:
    """Everything that is known of one session."""
    found = await services.sessions.read(session_id)
    if found is None:
        raise HTTPException(404, "There is no such session")
    return found


@router.post("/sessions/{session_id}/pictures/{name:path}")
async def sign_picture(
    session_id: Annotated[str, Field(max_length=200)],
    name: Annotated[str, Field(max_length=200)],
    services: Services,
    by: TheActor,
) -> PictureLink:
    """Sign one of its pictures. A POST: it makes something that opens a customer's photo, and is in the audit log."""
    url = await services.sessions.sign_picture(session_id, name)
    if url is None:
        raise HTTPException(404, "This picture cannot be had")
    await services.audit_log.note(by, Action.SHOW_PICTURE, session_id, after={"shown": name})
    return PictureLink(url=url)
