"""Jobs: what is being analysed, what waits, what failed and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query

from service.api import schemas
from service.api.auth import MAY_READ, MAY_WRITE
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.wire import job_out
from service.errors import JobNotFound
from service.ids import is_id

router = APIRouter(prefix="/jobs", tags=["jobs"])


def known_form(job_id: Annotated[str, Path(max_length=64)]) -> str:
    """The path's id; a text that cannot be an id is no job, and never reaches the database."""
    if not is_id(job_id):
        raise JobNotFound
    return job_id


JobId = Annotated[str, Depends(known_form)]


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_jobs(
    services: ServicesDep,
    state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> schemas.JobPage:
    """Jobs, newest first."""
    found = services.jobs.list_jobs(state=state, limit=limit, cursor=cursor)
    return schemas.JobPage(
        items=[job_out(view) for view in found.page.items],
        total=found.page.total,
        next_cursor=found.page.next_cursor,
        counts=found.counts,
    )


@router.get("/{job_id}", dependencies=[MAY_READ], responses=errors(404))
def get_job(services: ServicesDep, job_id: JobId) -> schemas.Job:
    """One job."""
    return job_out(services.jobs.get_job(job_id))


@router.post("/{job_id}/retry", dependencies=[MAY_WRITE], responses=errors(404, 409))
def retry_job(services: ServicesDep, job_id: JobId) -> schemas.Job:
    """Queue a failed or cancelled job again."""
    return job_out(services.jobs.retry(job_id))


@router.post("/{job_id}/cancel", dependencies=[MAY_WRITE], responses=errors(404, 409))
def cancel_job(services: ServicesDep, job_id: JobId) -> schemas.Job:
    """Stop a queued or running job."""
    return job_out(services.jobs.cancel(job_id))
