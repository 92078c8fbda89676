"""Vocabularies: labels in groups, stored by name and in versions; one tags every track."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from service.api import tag_schemas
from service.api.auth import MAY_READ, MAY_WRITE
from service.api.connected import while_connected
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.tag_wire import groups_in, summary_out, vocabulary_out
from service.tagging.store import VocabularyNotFound, is_name

router = APIRouter(prefix="/vocabularies", tags=["vocabularies"])


def known_form(name: Annotated[str, Path(max_length=64, examples=["standard"])]) -> str:
    """The path's name; a text that cannot be one is no vocabulary."""
    if not is_name(name):
        raise VocabularyNotFound
    return name


VocabularyName = Annotated[str, Depends(known_form)]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="By default the current.")]


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_vocabularies(services: ServicesDep) -> tag_schemas.VocabularyList:
    """The current version of each vocabulary."""
    found = services.vocabularies.list_vocabularies()
    return tag_schemas.VocabularyList(items=[summary_out(stored) for stored in found])


@router.get("/{name}", dependencies=[MAY_READ], responses=errors(404))
def get_vocabulary(
    services: ServicesDep, name: VocabularyName, version: Version = None
) -> tag_schemas.Vocabulary:
    """One vocabulary; old versions stay readable, and `tagged_tracks` tells how far tagging is."""
    return vocabulary_out(services.vocabularies.get_vocabulary(name, version))


@router.put("/{name}", dependencies=[MAY_WRITE], responses=errors())
async def save_vocabulary(
    request: Request,
    services: ServicesDep,
    name: Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")],
    wanted: tag_schemas.VocabularyIn,
) -> tag_schemas.SavedVocabulary:
    """Save a new version; of the default vocabulary, every track is tagged again in a job."""
    saving = services.vocabularies.save_vocabulary(
        name,
        groups_in(wanted.groups),
        description=wanted.description,
        make_default=wanted.make_default,
    )
    saved = await while_connected(request, saving)
    if saved.job_id is not None:
        services.worker.wake()
    return tag_schemas.SavedVocabulary(
        vocabulary=vocabulary_out(saved.state),
        new_version=saved.is_new_version,
        job_id=saved.job_id,
    )


@router.delete("/{name}", status_code=204, dependencies=[MAY_WRITE], responses=errors(404, 409))
def delete_vocabulary(services: ServicesDep, name: VocabularyName) -> Response:
    """Delete all versions of a vocabulary that is not the default."""
    services.vocabularies.delete_vocabulary(name)
    return Response(status_code=204)


@router.get("/{name}/distribution", dependencies=[MAY_READ], responses=errors(404))
async def get_label_distribution(
    request: Request,
    services: ServicesDep,
    name: VocabularyName,
    group: Annotated[str, Query(max_length=64, examples=["mood"])],
    label: Annotated[tag_schemas.LabelText, Query(examples=["calm"])],
    version: Version = None,
    ends: Annotated[int, Query(ge=0, le=20, description="Tracks at each end.")] = 5,
) -> tag_schemas.LabelDistribution:
    """One label over all tracks; a label that is not in the group is tried as if it were."""
    measuring = services.distributions.get_distribution(
        name, group, label, version=version, ends=ends
    )
    found = await while_connected(request, measuring)
    return tag_schemas.LabelDistribution.model_validate(found)
