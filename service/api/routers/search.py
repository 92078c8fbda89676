"""Search by text, by stored tracks, by an unstored clip, or by a mix of these."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from service.api import schemas
from service.api.auth import MAY_READ
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.forms import multipart_body, parse_json_part, received_clip
from service.api.wire import options_in, parts_in, search_out
from service.search.query import ClipPart, TextPart

router = APIRouter(prefix="/search", tags=["search"])


@router.post("", dependencies=[MAY_READ], responses=errors(404, 409, 413))
async def search(
    request: Request, services: ServicesDep, wanted: schemas.SearchRequest
) -> schemas.SearchResponse:
    """Tracks or passages closest to the weighted sum of the parts.

    Each part is a unit vector times its weight; the sum has unit length again. A negative weight
    lowers what resembles that part. Stored tracks of the query are not among the hits.
    """
    answer = services.search.search(parts_in(wanted.query), options_in(wanted))
    return search_out(await while_connected(request, answer))


@router.get("", dependencies=[MAY_READ], responses=errors())
async def search_by_text(
    request: Request,
    services: ServicesDep,
    wanted: Annotated[schemas.TextSearch, Query()],
) -> schemas.SearchResponse:
    """The same for one text, for a browser's address line."""
    answer = services.search.search([TextPart(wanted.q)], options_in(wanted))
    return search_out(await while_connected(request, answer))


@router.post(
    "/audio",
    dependencies=[MAY_READ],
    responses=errors(404, 409, 413, 415),
    openapi_extra=multipart_body("options", schemas.AudioSearchRequest),
)
async def search_by_audio(request: Request, services: ServicesDep) -> schemas.SearchResponse:
    """Tracks or passages that sound like a clip, which is not kept."""
    services.encoder.get()
    async with received_clip(request, services) as (pending, form):
        wanted = parse_json_part(form, "options", schemas.AudioSearchRequest)
        clip = await services.embed_upload(pending)
    part = ClipPart(clip.mean, clip.digest, wanted.weight)
    result = await services.search.search([part, *parts_in(wanted.query)], options_in(wanted))
    answer = search_out(result)
    answer.warnings += clip.warnings
    return answer
