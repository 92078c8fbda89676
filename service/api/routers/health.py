"""Whether the process is alive, whether it can answer, and what it counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from muquery.version import __version__
from service.api import schemas
from service.api.auth import MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.metrics import CONTENT_TYPE, Metrics
from service.api.wire import problem_out
from service.errors import Unavailable
from service.inference.encoder import EncoderState
from service.jobs.workers import WorkerBoard
from service.runtime import Services

log = logging.getLogger(__name__)

router = APIRouter(tags=["operation"])

CHECK_S = 5.0
MAX_LAG = 1_000
"""Changes that an index may be behind and still be called ready."""

PROBE_TEXT = "music"

_LOADING, _WAITING, _PREPARING = "loading", "waits for the model", "being prepared"
_NOT_YET = {"ok", _LOADING, _WAITING, _PREPARING}


@router.get("/health/live", responses=errors())
async def health_live() -> schemas.Health:
    """The process runs. Says nothing of what it needs; restart it when this does not answer."""
    return schemas.Health(status="ok", problem=None, version=__version__)


@router.get(
    "/health/ready",
    response_model=schemas.Health,
    responses={**errors(), 503: {"model": schemas.Health, "description": "Not ready to answer."}},
)
async def health_ready(services: ServicesDep) -> JSONResponse:
    """Database, index and model answer, and the worker works: a real query is run.

    Workers of other processes do not count towards `status`, because queries are answered without
    them; `workers` and `problem` say how they are, and `GET /workers` why.
    """
    names = ("database", "index", "model", "worker")
    answers = await asyncio.gather(
        _outcome(run_in_threadpool(services.database.ping)),
        _outcome(run_in_threadpool(_check_index, services)),
        _outcome(_check_model(services)),
        _outcome(_check_worker(services)),
    )
    checks = dict(zip(names, answers, strict=True))
    status: Literal["ok", "starting", "failing"] = "ok"
    if any(answer != "ok" for answer in answers):
        status = "starting" if all(answer in _NOT_YET for answer in answers) else "failing"
    board = await _board(services) if checks["database"] == "ok" else None
    health = schemas.Health(
        status=status,
        checks=checks,
        workers=board.counts if board else {},
        problem=problem_out(board.problem_of()) if board else None,
        version=__version__,
    )
    headers = {} if status == "ok" else {"Retry-After": "2"}
    code = 200 if status == "ok" else 503
    return JSONResponse(health.model_dump(), status_code=code, headers=headers)


async def _board(services: Services) -> WorkerBoard | None:
    try:
        async with asyncio.timeout(CHECK_S):
            return await run_in_threadpool(services.workers.board)
    except Exception:
        log.exception("could not look who works")
        return None


async def _outcome(check: Awaitable[Any]) -> str:
    """ "ok", what a check says, or that it failed; why is for the log alone."""
    try:
        async with asyncio.timeout(CHECK_S):
            said = await check
    except TimeoutError:
        return "no answer"
    except Unavailable:
        return _PREPARING
    except Exception:
        log.exception("a health check failed")
        return "failed"
    return said or "ok"


def _check_index(services: Services) -> str | None:
    if services.encoder.state is not EncoderState.READY:
        return _WAITING
    state = services.index.state()
    lag = state.latest_seq - state.applied_seq
    return None if lag <= MAX_LAG else f"{lag} changes behind"


async def _check_worker(services: Services) -> str | None:
    if services.settings.worker == "off":
        return None  # others work; how they are stands beside the checks
    return services.worker.failure


async def _check_model(services: Services) -> str | None:
    if services.encoder.state is EncoderState.FAILED:
        return "could not be loaded"
    if services.encoder.state is not EncoderState.READY:
        return _LOADING
    vectors = await services.texts.embed([PROBE_TEXT])
    norm = float(np.linalg.norm(vectors[0]))
    return None if abs(norm - 1.0) < 0.01 else "gives no unit vectors"


@router.get(
    "/metrics",
    dependencies=[MAY_READ],
    response_class=Response,
    responses={
        **errors(),
        200: {"description": "Prometheus text format.", "content": {"text/plain": {}}},
    },
)
def get_metrics(request: Request) -> Response:
    """Counters and gauges of this process and its database."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.render(), media_type=CONTENT_TYPE)
