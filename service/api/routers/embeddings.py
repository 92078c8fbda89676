"""Raw vectors of texts and of audio, for those who bring their own database."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.api import schemas
from service.api.auth import MAY_READ
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.forms import received_clip
from service.search.query import TextPart, texts_of

router = APIRouter(prefix="/embeddings", tags=["embeddings"])

_FILE_BODY = {
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


@router.post("", dependencies=[MAY_READ], responses=errors(413))
async def embed_texts(
    request: Request, services: ServicesDep, wanted: schemas.EmbeddingRequest
) -> schemas.EmbeddingResponse:
    """Unit vectors of texts, in their order; each the same as if it had come alone."""
    encoder = services.encoder.get()
    texts_of([TextPart(text) for text in wanted.texts])
    vectors = await while_connected(request, services.texts.embed(wanted.texts))
    return schemas.EmbeddingResponse(
        embeddings=vectors.tolist(), model_id=encoder.model_id, embed_dim=encoder.embed_dim
    )


@router.post(
    "/audio", dependencies=[MAY_READ], responses=errors(413, 415), openapi_extra=_FILE_BODY
)
async def embed_audio(request: Request, services: ServicesDep) -> schemas.AudioEmbeddingResponse:
    """Unit vectors of a file's 10 s windows, and their plain mean; the file is not kept."""
    encoder = services.encoder.get()
    async with received_clip(request, services) as (pending, _form):
        clip = await services.embed_upload(pending)
    return schemas.AudioEmbeddingResponse(
        mean=clip.mean.tolist(),
        clips=clip.vectors.tolist(),
        starts_s=clip.starts_s,
        ends_s=clip.ends_s,
        model_id=encoder.model_id,
        embed_dim=encoder.embed_dim,
        warnings=clip.warnings,
    )
