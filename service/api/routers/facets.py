"""What the library's fields hold: counts of values under a filter, and which fields there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.api import library_schemas as schemas
from service.api.auth import MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.filters import FilterParameter, TextParameter
from service.errors import InvalidRequest
from service.tracks.facets import needs_tags, parse_fields
from service.tracks.repository import TrackFilter

router = APIRouter(tags=["tracks"])

MAX_FIELDS = 20
MAX_VALUES = 500


@router.get("/facets", dependencies=[MAY_READ], responses=errors())
def list_facets(
    services: ServicesDep,
    fields: Annotated[
        str,
        Query(
            min_length=1,
            max_length=4000,
            description="Names of fields, separated by commas; one that holds a comma by itself, "
            "as the parameter `field`.",
            examples=["genre,artist,tags.mood"],
        ),
    ] = "",
    field: Annotated[list[str] | None, Query(max_length=MAX_FIELDS)] = None,
    wanted: FilterParameter = None,
    q: TextParameter = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_VALUES, description="Values of each field, at most.")
    ] = 20,
) -> schemas.FacetList:
    """The values that fields have on the tracks of a filter, and how many tracks have each.

    What the filter asks of a field does not count for that field's own values, so that the
    alternatives to a choice stay in sight.
    """
    named = parse_fields([*filter(None, fields.split(",")), *(field or [])])
    if not 0 < len(named) <= MAX_FIELDS:
        raise InvalidRequest(f"Name 1 to {MAX_FIELDS} fields.")
    wanted_tracks = TrackFilter(text=q, node=wanted)
    model_id = None
    if needs_tags(named, wanted_tracks):
        model_id = services.find_model_id()
    found = services.facets.facets(named, wanted_tracks, model_id=model_id, limit=limit)
    return schemas.FacetList(items=[schemas.Facet.model_validate(facet) for facet in found])


@router.get("/fields", dependencies=[MAY_READ], responses=errors())
def list_fields(services: ServicesDep) -> schemas.FieldList:
    """Every field that a filter may name: fixed ones, keys of `extra` in use, groups of tags."""
    found = services.facets.fields(services.find_model_id())
    return schemas.FieldList(items=[schemas.KnownField.model_validate(item) for item in found])
