"""Server-sent events: job progress and changes of the library."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from service.api.auth import MAY_READ
from service.api.errors import errors
from service.api.events import EventHub

router = APIRouter(prefix="/events", tags=["jobs"])


@router.get(
    "",
    dependencies=[MAY_READ],
    response_class=StreamingResponse,
    responses={
        **errors(),
        200: {
            "description": (
                "`hello` at first, then `job` (data as of GET /jobs/{id}) and `library` "
                "(data: latest_seq). Nothing is replayed after a break: read anew on `hello`."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def listen(request: Request) -> StreamingResponse:
    """Job progress and library changes as they happen."""
    hub: EventHub = request.app.state.events
    hub.check_room()
    return StreamingResponse(
        hub.listen(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
