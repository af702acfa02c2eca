"""`GET /files/...`: the local mode's pictures, behind URLs that expire. Production's come from Supabase Storage."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse

from wearon.local.platform import LocalPlatform

router = APIRouter()


@router.get("/files/{path:path}", include_in_schema=False)
async def picture(path: str, expires: int, signature: str, request: Request) -> FileResponse:
    """The file, if the URL is genuine and has not expired."""
    platform: LocalPlatform = request.app.state.services.local_platform
    file = platform.read_signed(path, expires, signature)
    if file is None:
        raise HTTPException(403, "This link is not valid (any more)")
    return FileResponse(file, headers={"Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"})
