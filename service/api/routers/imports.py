"""Imports: many files at once, each of them accounted for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from service.api import import_schemas as schemas
from service.api.auth import MAY_READ, MAY_WRITE
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.import_wire import created_out, import_out, item_out, wanted_in
from service.api.request_context import note_target
from service.ids import is_id
from service.imports.errors import ImportNotFound

router = APIRouter(prefix="/imports", tags=["imports"])


def known_form(import_id: Annotated[str, Path(max_length=64)]) -> str:
    """The path's id; a text that cannot be an id is no import, and never reaches the database."""
    if not is_id(import_id):
        raise ImportNotFound
    return import_id


ImportId = Annotated[str, Depends(known_form)]
Cursor = Annotated[str | None, Query(max_length=4000)]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "",
    status_code=201,
    dependencies=[MAY_WRITE],
    responses={
        **errors(404),
        200: {"model": schemas.ImportCreated, "description": "The open import of this reference."},
    },
)
def create_import(
    services: ServicesDep, wanted: schemas.ImportRequest, response: Response
) -> schemas.ImportCreated:
    """Start a batch: of a folder that the server may read, or of uploads.

    Uploads follow as `POST /tracks?import_id=…`, and `POST /imports/{id}/close` ends their list.
    """
    created = services.imports.create(wanted_in(wanted))
    services.import_runner.wake()
    if not created.new:
        response.status_code = 200
    answer = created_out(created)
    note_target(answer.id)
    return answer


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_imports(
    services: ServicesDep,
    state: schemas.ImportStateName | None = None,
    reference: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00-\x1f]*$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.ImportPage:
    """Batches, newest first."""
    page = services.imports.list_imports(
        state=state, reference=reference, limit=limit, cursor=cursor
    )
    return schemas.ImportPage(
        items=[import_out(view) for view in page.items],
        total=page.total,
        next_cursor=page.next_cursor,
    )


@router.get("/{import_id}", dependencies=[MAY_READ], responses=errors(404))
def get_import(services: ServicesDep, import_id: ImportId) -> schemas.Import:
    """One batch: counts, speed, time left, and what its webhook was told."""
    return import_out(services.imports.get_import(import_id))


@router.get("/{import_id}/items", dependencies=[MAY_READ], responses=errors(404))
def list_import_items(
    services: ServicesDep,
    import_id: ImportId,
    state: schemas.ItemStateName | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.ImportItemPage:
    """The batch's files; with `state=failed` those that need a look, with their reasons."""
    page = services.imports.list_items(import_id, state=state, limit=limit, cursor=cursor)
    return schemas.ImportItemPage(
        items=[item_out(view) for view in page.items],
        total=page.total,
        next_cursor=page.next_cursor,
    )


@router.post("/{import_id}/pause", dependencies=[MAY_WRITE], responses=errors(404, 409))
def pause_import(services: ServicesDep, import_id: ImportId) -> schemas.Import:
    """Take in and analyse nothing more for now; what is being analysed goes on to its end."""
    return import_out(services.imports.pause(import_id))


@router.post("/{import_id}/resume", dependencies=[MAY_WRITE], responses=errors(404, 409))
def resume_import(services: ServicesDep, import_id: ImportId) -> schemas.Import:
    """Go on with a paused batch."""
    resumed = import_out(services.imports.resume(import_id))
    services.import_runner.wake()
    services.worker.wake()
    return resumed


@router.post("/{import_id}/close", dependencies=[MAY_WRITE], responses=errors(404, 409))
def close_import(services: ServicesDep, import_id: ImportId) -> schemas.Import:
    """Say that no more uploads come: the batch ends when its last file has."""
    closed = import_out(services.imports.close(import_id))
    services.import_runner.wake()
    return closed


@router.post("/{import_id}/cancel", dependencies=[MAY_WRITE], responses=errors(404, 409))
def cancel_import(services: ServicesDep, import_id: ImportId) -> schemas.Import:
    """End it: what is analysed stays, what was only stored is taken out again."""
    cancelled = import_out(services.imports.cancel(import_id))
    services.import_runner.wake()
    return cancelled


@router.post("/{import_id}/retry", dependencies=[MAY_WRITE], responses=errors(404, 409))
def retry_import(services: ServicesDep, import_id: ImportId) -> schemas.RetryResult:
    """Try the failed files again; a finished batch runs again then."""
    result = services.imports.retry(import_id)
    services.import_runner.wake()
    services.worker.wake()
    return schemas.RetryResult(retried=result.retried, needs_upload=result.needs_upload)


@router.delete(
    "/{import_id}", status_code=204, dependencies=[MAY_WRITE], responses=errors(404, 409)
)
def forget_import(services: ServicesDep, import_id: ImportId) -> None:
    """Remove the record of an ended batch; its tracks stay."""
    services.imports.forget(import_id)
