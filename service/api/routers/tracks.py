"""Tracks: upload, list, read, edit, delete, and their audio."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from service.api import schemas
from service.api.auth import MAY_READ, MAY_WRITE
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.filters import FilterParameter, tags_model
from service.api.forms import multipart_body, parse_json_part, received_file
from service.api.ranges import content_disposition, file_response
from service.api.request_context import note_target
from service.api.upload_batch import UploadBatch
from service.api.wire import job_out, track_out
from service.blobs.store import BlobMissing
from service.database.paging import Page
from service.database.tables import Track
from service.errors import NotFound, TrackNotFound
from service.ids import is_id
from service.jobs.service import JobView
from service.tracks.repository import TrackFilter, TrackSort

router = APIRouter(prefix="/tracks", tags=["tracks"])

Sort = Literal[
    "added_at", "-added_at", "title", "-title", "artist", "-artist", "album", "-album",
    "genre", "-genre", "year", "-year", "duration_s", "-duration_s",
]  # fmt: skip
Text = Annotated[str, Query(max_length=500, pattern=r"^[^\x00-\x08\x0e-\x1f]*$")]


class AudioMissing(NotFound):
    code, default_message = "audio_missing", "The track's audio file is gone from the disk."


def known_form(track_id: Annotated[str, Path(max_length=64)]) -> str:
    """The path's id; a text that cannot be an id is no track, and never reaches the database."""
    if not is_id(track_id):
        raise TrackNotFound
    return track_id


TrackId = Annotated[str, Depends(known_form)]


@router.post(
    "",
    status_code=202,
    dependencies=[MAY_WRITE],
    response_model=schemas.UploadResult,
    responses={
        **errors(404, 409, 413, 415),
        200: {"model": schemas.UploadResult, "description": "The same bytes were here already."},
        202: {"description": "Stored; the job embeds it."},
    },
    openapi_extra=multipart_body("metadata", schemas.TrackMetadata),
)
async def upload_track(
    request: Request,
    services: ServicesDep,
    import_id: Annotated[
        str | None, Query(max_length=64, description="The import that this file is part of.")
    ] = None,
    path: Annotated[
        str | None,
        Query(max_length=1000, description="What to call the file in its import."),
    ] = None,
) -> JSONResponse:
    """Add a file. It can be found once its job is done; the same bytes are stored once."""
    services.encoder.get()  # refuse before the body is read while the model is not there
    uploads = services.uploads
    batch = UploadBatch(services, import_id, path)
    await run_in_threadpool(batch.check)
    async with (
        batch.noting_refusals(),
        received_file(
            request, uploads.receive(), json_field="metadata", max_bytes=uploads.max_bytes
        ) as (pending, form),
    ):
        metadata = parse_json_part(form, "metadata", schemas.TrackMetadata)
        admission = batch.admit(form.filename)
        async with services.probe_turns:
            uploaded = await run_in_threadpool(
                uploads.accept,
                pending,
                filename=form.filename,
                values=metadata.model_dump(exclude_none=True),
                admission=admission,
            )
    services.worker.wake()
    track = uploaded.track
    job = uploaded.job
    note_target(track.id)
    if job is not None:
        view = await run_in_threadpool(services.jobs.look_at, JobView(job, track.id, track.title))
    result = schemas.UploadResult(
        track=track_out(track),
        job=None if job is None else job_out(view),
        duplicate=uploaded.duplicate,
    )
    status = 200 if uploaded.duplicate else 202
    return JSONResponse(result.model_dump(mode="json"), status_code=status)


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_tracks(
    services: ServicesDep,
    state: Literal["pending", "ready", "failed"] | None = None,
    q: Annotated[Text | None, Query(description="In title, artist, album or file name.")] = None,
    artist: Text | None = None,
    album: Text | None = None,
    genre: Text | None = None,
    wanted: FilterParameter = None,
    sha256: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="The track with these bytes.")
    ] = None,
    sort: Sort = "-added_at",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> schemas.TrackPage:
    """The library, page by page.

    Texts are sorted without regard to case and accents; tracks without a value come last.
    """
    if sha256 is not None:
        known = services.tracks.find_track_by_sha256(sha256)
        found: Page[Track] = Page([known] if known else [], 1 if known else 0, None)
    else:
        found = services.tracks.list_tracks(
            filter_=TrackFilter(
                state=state, artist=artist, album=album, genre=genre, text=q, node=wanted
            ),
            model_id=tags_model(services, wanted),
            sort=cast(TrackSort, sort.removeprefix("-")),
            descending=sort.startswith("-"),
            limit=limit,
            cursor=cursor,
        )
    return schemas.TrackPage(
        items=[track_out(track) for track in found.items],
        total=found.total,
        next_cursor=found.next_cursor,
    )


@router.get("/{track_id}", dependencies=[MAY_READ], responses=errors(404))
def get_track(services: ServicesDep, track_id: TrackId) -> schemas.Track:
    """One track."""
    return track_out(services.tracks.get_track(track_id))


@router.patch("/{track_id}", dependencies=[MAY_WRITE], responses=errors(404, 413))
def edit_track(
    services: ServicesDep, track_id: TrackId, metadata: schemas.TrackMetadata
) -> schemas.Track:
    """Change the fields that are given; null clears one."""
    changed = services.tracks.patch_track(track_id, metadata.model_dump(exclude_unset=True))
    return track_out(changed)


@router.delete("/{track_id}", status_code=204, dependencies=[MAY_WRITE], responses=errors(404))
def delete_track(services: ServicesDep, track_id: TrackId) -> None:
    """Remove a track with everything known of it. No search returns it from then on."""
    services.tracks.delete_track(track_id)


@router.get(
    "/{track_id}/audio",
    dependencies=[MAY_READ],
    response_class=Response,
    responses={
        **errors(404, 416),
        200: {"description": "The file as it was uploaded.", "content": {"audio/*": {}}},
        206: {"description": "The part that Range asked for.", "content": {"audio/*": {}}},
        304: {"description": "The file has not changed (it never does)."},
    },
)
@router.head("/{track_id}/audio", dependencies=[MAY_READ], include_in_schema=False)
def get_audio(request: Request, services: ServicesDep, track_id: TrackId) -> Response:
    """The uploaded file, whole or in part."""
    track = services.tracks.get_track(track_id)
    try:
        source = services.blobs.open(track.sha256)
    except BlobMissing:
        raise AudioMissing(track_id=track_id) from None
    return file_response(
        request,
        source,
        size_bytes=track.size_bytes,
        media_type=track.media_type,
        etag=f'"{track.sha256}"',
        headers={
            "Content-Disposition": content_disposition(track.filename),
            "Cache-Control": "private, max-age=3600",
        },
    )


@router.get("/{track_id}/waveform", dependencies=[MAY_READ], responses=errors(404))
def get_waveform(services: ServicesDep, track_id: TrackId) -> schemas.Waveform:
    """Peaks for drawing; none before the track was analysed."""
    track = services.tracks.get_track(track_id)
    return schemas.Waveform(duration_s=track.duration_s, peaks=list(track.peaks or b""))


@router.get("/{track_id}/passages", dependencies=[MAY_READ], responses=errors(404, 409))
async def list_passages(
    services: ServicesDep,
    track_id: TrackId,
    q: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="Score them against this.")
    ] = None,
) -> schemas.TrackPassages:
    """The analysed windows of a track, in order of time."""
    found = await services.search.passages_of(track_id, q)
    return schemas.TrackPassages(
        items=[schemas.TrackPassage.model_validate(item) for item in found.items],
        model_id=found.model_id,
    )
