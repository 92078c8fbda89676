"""One change to many tracks, named by their ids or by a filter."""

from __future__ import annotations

from fastapi import APIRouter

from service.api import library_schemas as schemas
from service.api.auth import MAY_WRITE
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.filters import tags_model
from service.api.request_context import note_target
from service.runtime import Services
from service.tracks.bulk import BulkOutcome, Selection
from service.tracks.repository import TrackFilter

router = APIRouter(prefix="/tracks/bulk", tags=["tracks"])


@router.post("/update", dependencies=[MAY_WRITE], responses=errors(409, 413))
def update_tracks(services: ServicesDep, wanted: schemas.BulkUpdate) -> schemas.BulkResult:
    """Set the same fields on up to 10,000 tracks. Asking again changes nothing more."""
    values = wanted.set.model_dump(exclude_unset=True)
    outcome = services.bulk.update(_selection(services, wanted), values, dry_run=wanted.dry_run)
    return _result(outcome, wanted.dry_run)


@router.post("/delete", dependencies=[MAY_WRITE], responses=errors(409, 413))
def delete_tracks(services: ServicesDep, wanted: schemas.BulkDelete) -> schemas.BulkResult:
    """Remove up to 2,000 tracks with everything known of them. No search returns them afterwards.

    There is no way back: a page that offers one waits before it calls.
    """
    outcome = services.bulk.delete(_selection(services, wanted), dry_run=wanted.dry_run)
    return _result(outcome, wanted.dry_run)


def _selection(services: Services, wanted: schemas.Selection) -> Selection:
    filter_ = None
    if wanted.ids is None:
        filter_ = TrackFilter(text=wanted.q, node=wanted.filter)
    return Selection(
        ids=wanted.ids,
        filter_=filter_,
        model_id=tags_model(services, wanted.filter),
        expected=wanted.expected,
    )


def _result(outcome: BulkOutcome, dry_run: bool) -> schemas.BulkResult:
    note_target(f"{outcome.changed} tracks" + (" (dry run)" if dry_run else ""))
    return schemas.BulkResult(
        matched=outcome.matched,
        changed=outcome.changed,
        missing=outcome.missing,
        too_large=outcome.too_large,
        dry_run=dry_run,
    )
