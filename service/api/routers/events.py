"""Server-sent events: job progress and changes of the library."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
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
                "`hello` at first, then `job` (data as of GET /jobs/{id}), `import` (data as of "
                "GET /imports/{id}) and `library` (data: latest_seq). After a break, send the last "
                "event's id as Last-Event-ID: `hello` says `resumed`: true and what was missed "
                "follows; where it says false, read anew what you show."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def listen(
    request: Request,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The last event that you got.")
    ] = None,
) -> StreamingResponse:
    """Progress of jobs and imports, and changes of the library, as they happen."""
    hub: EventHub = request.app.state.events
    hub.check_room()
    return StreamingResponse(
        hub.listen(last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
