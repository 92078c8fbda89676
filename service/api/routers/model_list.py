"""The models that this service answers with."""

from __future__ import annotations

from fastapi import APIRouter

from service.api import schemas
from service.api.auth import MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors

router = APIRouter(prefix="/models", tags=["operation"])


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_models(services: ServicesDep) -> schemas.ModelList:
    """The model in use."""
    encoder = services.encoder.get()
    active = schemas.ModelInfo(
        model_id=encoder.model_id,
        name=encoder.name,
        active=True,
        embed_dim=encoder.embed_dim,
        sample_rate_hz=encoder.sample_rate_hz,
        clip_s=encoder.clip_s,
        languages=list(encoder.languages),
        licence=encoder.licence,
        runtime=encoder.runtime,
        device=encoder.device,
    )
    return schemas.ModelList(items=[active])
