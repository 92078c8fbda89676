"""Search by text, by stored tracks, by an unstored clip, or by a mix of these."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Query, Request

from service.api import schemas
from service.api.auth import MAY_READ
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.forms import (
    MultipartRoute,
    clips_body,
    multipart_body,
    parse_json_part,
    received_clip,
    received_clips,
)
from service.api.wire import options_in, parts_in, search_out
from service.errors import InvalidRequest
from service.search.query import ClipPart, TextPart

router = APIRouter(prefix="/search", tags=["search"])


@router.post(
    "",
    dependencies=[MAY_READ],
    responses=errors(404, 409, 413, 415),
    openapi_extra=clips_body("request", schemas.SearchRequest),
)
async def search(
    request: Request, services: ServicesDep, wanted: schemas.SearchRequest
) -> schemas.SearchResponse:
    """Tracks or passages that sound like the parts of a query, or have their words, or both.

    Parts are texts, stored tracks and clips, each with a weight from -1 to 1; a negative one takes
    away what resembles the part. Stored tracks of the query are not among the hits. Clips come as
    files of a multipart form, beside this JSON in its field `request`.
    """
    answer = services.search.search(parts_in(wanted.query), options_in(wanted))
    return search_out(await while_connected(request, answer))


async def search_with_clips(request: Request, services: ServicesDep) -> schemas.SearchResponse:
    """The same with clips beside the JSON; they are not kept."""
    services.encoder.get()
    async with received_clips(request, services) as (files, form):
        wanted = parse_json_part(form, "request", schemas.SearchRequest)
        _check_clips(wanted, files)
        clips = {name: await services.embed_upload(pending) for name, pending in files.items()}
    parts = parts_in(wanted.query, clips)
    answer = search_out(await services.search.search(parts, options_in(wanted)))
    for clip in clips.values():
        answer.warnings += clip.warnings
    return answer


def _check_clips(wanted: schemas.SearchRequest, files: Collection[str]) -> None:
    """Refuse a mismatch before anything is embedded."""
    named = {part.clip for part in wanted.query if part.clip is not None}
    if named != set(files):
        raise InvalidRequest(
            "Each clip of the query needs its file, and each file a part that names it.",
            missing=sorted(named - set(files)),
            unused=sorted(set(files) - named),
        )


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


# The first of two routes that match is taken; the document describes both under the JSON one.
router.routes.insert(
    0,
    MultipartRoute(
        "/search",
        search_with_clips,
        methods=["POST"],
        dependencies=[MAY_READ],
        include_in_schema=False,
        tags=["search"],
    ),
)
