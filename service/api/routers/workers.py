"""Workers: who analyses what is uploaded, and whether anybody does."""

from __future__ import annotations

from fastapi import APIRouter

from service.api import worker_schemas as schemas
from service.api.auth import MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.wire import problem_out

router = APIRouter(prefix="/workers", tags=["operation"])


@router.get("", dependencies=[MAY_READ], responses=errors())
def list_workers(services: ServicesDep) -> schemas.WorkerList:
    """The workers of all processes and machines, and those that failed or fell silent of late."""
    board = services.workers.board()
    return schemas.WorkerList(
        items=[schemas.WorkerInfo.model_validate(item) for item in board.items],
        counts=board.counts,
        waiting_jobs=services.jobs.count_waiting(),
        problem=problem_out(board.problem_of(services.models.active_id())),
    )
