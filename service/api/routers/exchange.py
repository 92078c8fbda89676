"""Embeddings out into a file and in again, so that a library is analysed once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.api import import_schemas as schemas
from service.api.auth import MAY_READ, MAY_WRITE
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.filters import FilterParameter
from service.api.forms import received_file
from service.blobs.store import PendingBlob
from service.exchange.service import FileFormat, Imported
from service.runtime import Services

router = APIRouter(tags=["embeddings"])

_MEDIA_TYPES = {"parquet": "application/vnd.apache.parquet", "npz": "application/x-npz"}
_NO_OPTIONS = "options"
_FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"}
                    },
                }
            }
        },
    }
}


@router.get(
    "/export",
    dependencies=[MAY_READ],
    response_class=StreamingResponse,
    responses={
        **errors(),
        200: {
            "description": "One row per analysed track: hash, metadata, spans, float16 vectors.",
            "content": {kind: {} for kind in _MEDIA_TYPES.values()},
        },
    },
)
def export_embeddings(
    services: ServicesDep,
    file_format: Annotated[FileFormat, Query(alias="format")] = "parquet",
    wanted: FilterParameter = None,
) -> StreamingResponse:
    """The library's embeddings of the loaded model, streamed as one file without the audio.

    With a filter, those of the tracks that it lets through.
    """
    chunks = services.exchange.export(file_format, wanted)
    name = f"muquery-{services.encoder.get().model_id[:16]}.{file_format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(chunks, media_type=_MEDIA_TYPES[file_format], headers=headers)


@router.post(
    "/embeddings/import",
    dependencies=[MAY_WRITE],
    responses=errors(409, 413),
    openapi_extra=_FILE_BODY,
)
async def import_embeddings(request: Request, services: ServicesDep) -> schemas.EmbeddingsImported:
    """Take in what GET /export gave, here or elsewhere, if the same model made it.

    Tracks with the same bytes get the vectors; others' vectors wait, and an upload of those bytes
    is ready without being analysed again.
    """
    max_bytes = services.settings.max_embeddings_bytes
    async with received_file(
        request, services.blobs.receive(max_bytes), json_field=_NO_OPTIONS, max_bytes=max_bytes
    ) as (pending, _form):
        imported = await run_in_threadpool(_import, services, pending)
    services.worker.wake()
    return schemas.EmbeddingsImported.model_validate(imported)


def _import(services: Services, pending: PendingBlob) -> Imported:
    pending.finish()
    return services.exchange.import_file(pending.path)


@router.get("/embeddings/waiting", dependencies=[MAY_READ], responses=errors())
def get_waiting_embeddings(services: ServicesDep) -> schemas.WaitingEmbeddings:
    """How many imported tracks wait for their file."""
    return schemas.WaitingEmbeddings.model_validate(services.exchange.waiting())


@router.delete("/embeddings/waiting", status_code=204, dependencies=[MAY_WRITE], responses=errors())
def forget_waiting_embeddings(services: ServicesDep) -> None:
    """Forget the vectors whose files never came."""
    services.exchange.drop_waiting()
