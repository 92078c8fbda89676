"""Zero-shot tags: the caller's labels on a stored track or an unstored clip."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.api import schemas
from service.api.auth import MAY_READ
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.forms import multipart_body, parse_json_part, received_clip
from service.api.wire import tags_out

router = APIRouter(prefix="/tags", tags=["tags"])


@router.post("", dependencies=[MAY_READ], responses=errors(404, 409, 413))
async def tag_track(
    request: Request, services: ServicesDep, wanted: schemas.TagRequest
) -> schemas.TagResponse:
    """How well each label fits a stored track, or a span of it."""
    answer = services.tagging.tag_track(
        wanted.track_id,
        wanted.labels,
        wanted.templates,
        start_s=wanted.start_s,
        end_s=wanted.end_s,
    )
    return tags_out(await while_connected(request, answer))


@router.post(
    "/audio",
    dependencies=[MAY_READ],
    responses=errors(413, 415),
    openapi_extra=multipart_body("options", schemas.TagOptions, required=True),
)
async def tag_audio(request: Request, services: ServicesDep) -> schemas.TagResponse:
    """How well each label fits a clip, which is not kept."""
    services.encoder.get()
    async with received_clip(request, services) as (pending, form):
        wanted = parse_json_part(form, "options", schemas.TagOptions)
        clip = await services.embed_upload(pending)
    return tags_out(await services.tagging.tag_clip(clip, wanted.labels, wanted.templates))
