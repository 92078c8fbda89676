"""Models: the one in use, those before it, and the change from one to another."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from service.api import model_schemas as schemas
from service.api.auth import MAY_ADMIN, MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.request_context import note_target
from service.database.tables import ServedModel
from service.runtime import Services
from service.switching.registry import ModelNotFound
from service.switching.service import Change, KnownModel, ModelStanding

router = APIRouter(prefix="/models", tags=["operation"])


def known_form(model_id: Annotated[str, Path(max_length=64)]) -> str:
    """The path's id; what no database takes as a text is no model."""
    if not model_id.isprintable() or not model_id.isascii():
        raise ModelNotFound
    return model_id


ModelId = Annotated[str, Depends(known_form)]


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_models(services: ServicesDep) -> schemas.ModelList:
    """The model in use, those that the library was analysed with, and the change under way."""
    services.encoder.get()
    standing = services.models.standing()
    order = {"active": 0, "next": 1, "unused": 2}
    known = sorted(standing.models, key=lambda m: (order[m.state], -m.model.added_at.timestamp()))
    return schemas.ModelList(
        items=[_info(services, model) for model in known], change=_change(standing)
    )


@router.post("", status_code=201, dependencies=[MAY_ADMIN], responses=errors(413))
def add_model(services: ServicesDep, wanted: schemas.ModelSource) -> schemas.ModelInfo:
    """Make a model known by its name or folder, so that it can be changed to."""
    added = services.models.add(wanted.source)
    note_target(added.model_id)
    return _find_info(services, added)


@router.post(
    "/{model_id}/activate", status_code=202, dependencies=[MAY_ADMIN], responses=errors(404, 409)
)
def activate_model(
    services: ServicesDep,
    model_id: ModelId,
    allow_missing: Annotated[
        bool, Query(description="Change although tracks that failed would have no vectors.")
    ] = False,
) -> schemas.Activation:
    """Begin to change to a model: tracks are analysed with it beside the vectors in use.

    When every track that can be searched has been, all processes change over. Going back to a
    model whose vectors are still there takes a moment.
    """
    services.models.begin(model_id, allow_missing=allow_missing)
    services.worker.wake()
    change = _change(services.models.standing())
    waits = change is not None and change.model_id == model_id
    return schemas.Activation(
        model_id=model_id, state="next" if waits else "active", change=change if waits else None
    )


@router.delete("/next", status_code=204, dependencies=[MAY_ADMIN], responses=errors(409))
def cancel_model_change(services: ServicesDep) -> None:
    """End the change that is under way. What it made stays until its model is pruned."""
    note_target(services.models.cancel())


@router.delete("/{model_id}", dependencies=[MAY_ADMIN], responses=errors(404, 409))
def prune_model(services: ServicesDep, model_id: ModelId) -> schemas.Pruned:
    """Delete the vectors and tags of a model that is not in use. There is no way back then."""
    return schemas.Pruned(model_id=model_id, tracks=services.models.prune(model_id))


def _find_info(services: Services, model: ServedModel) -> schemas.ModelInfo:
    found = services.models.standing().models
    return next(_info(services, m) for m in found if m.model.model_id == model.model_id)


def _info(services: Services, known: KnownModel) -> schemas.ModelInfo:
    model = known.model
    loaded = services.encoder.get() if services.model.loaded_id == model.model_id else None
    return schemas.ModelInfo(
        model_id=model.model_id,
        name=model.name,
        active=known.state == "active",
        state=known.state,  # type: ignore[arg-type]  # the service gives no other
        tracks=known.tracks,
        source=model.source,
        embed_dim=model.embed_dim,
        licence=model.licence,
        sample_rate_hz=loaded.sample_rate_hz if loaded else None,
        clip_s=loaded.clip_s if loaded else None,
        languages=list(loaded.languages) if loaded else [],
        runtime=loaded.runtime if loaded else None,
        device=loaded.device if loaded else None,
    )


def _change(standing: ModelStanding) -> schemas.ModelChange | None:
    if standing.change is None:
        return None
    change: Change = standing.change
    wanted, progress = change.next, change.progress
    names = {known.model.model_id: known.model.name for known in standing.models}
    return schemas.ModelChange(
        model_id=wanted.model_id,
        name=names.get(wanted.model_id, wanted.model_id),
        started_at=wanted.started,
        tracks=progress.total,
        done=progress.done,
        failed=progress.failed,
        progress=progress.share,
        speed=progress.speed,
        eta_s=progress.eta_s,
        allow_missing=wanted.allow_missing,
        problem=wanted.problem,
    )
