"""Tags: labels on a stored track or an unstored clip, and the ones that tracks have."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.api.auth import MAY_READ
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.forms import multipart_body, parse_json_part, received_clip
from service.api.routers.tracks import TrackId
from service.api.tag_schemas import TagOptions, TagRequest, TagResponse, TrackTags
from service.api.tag_wire import question_in

router = APIRouter(tags=["tags"])


@router.post("/tags", dependencies=[MAY_READ], responses=errors(404, 409, 413))
async def tag_track(request: Request, services: ServicesDep, wanted: TagRequest) -> TagResponse:
    """How well each label fits a stored track, or a span of it."""
    answer = services.tagging.tag_track(
        wanted.track_id, question_in(wanted), start_s=wanted.start_s, end_s=wanted.end_s
    )
    return TagResponse.model_validate(await while_connected(request, answer))


@router.post(
    "/tags/audio",
    dependencies=[MAY_READ],
    responses=errors(404, 413, 415),
    openapi_extra=multipart_body("options", TagOptions, required=True),
)
async def tag_audio(request: Request, services: ServicesDep) -> TagResponse:
    """How well each label fits a clip, which is not kept."""
    services.encoder.get()
    async with received_clip(request, services) as (pending, form):
        wanted = parse_json_part(form, "options", TagOptions)
        clip = await services.embed_upload(pending)
    return TagResponse.model_validate(await services.tagging.tag_clip(clip, question_in(wanted)))


@router.get("/tracks/{track_id}/tags", dependencies=[MAY_READ], responses=errors(404, 409))
def get_track_tags(services: ServicesDep, track_id: TrackId, timeline: bool = False) -> TrackTags:
    """The tags that a track was given, by group; with `timeline` also for each passage."""
    return TrackTags.model_validate(services.stored_tags.get_tags(track_id, timeline=timeline))
