"""The FastAPI application: middleware, routers, errors. Nothing happens at import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute
from starlette.types import Scope

from muquery.version import __version__
from service.access.policy import LOOPBACK_NAMES
from service.api.changes import ChangeWatcher
from service.api.cors import CorsMiddleware
from service.api.errors import install_error_handlers, internal_error_response
from service.api.events import EventHub
from service.api.forms import MAX_CLIPS, add_form_schemas, is_multipart
from service.api.guards import BodyLimitMiddleware, HostGuardMiddleware
from service.api.metrics import Metrics
from service.api.request_context import RequestContextMiddleware
from service.api.routers import (
    audit,
    bulk,
    embeddings,
    events,
    exchange,
    facets,
    health,
    imports,
    index,
    jobs,
    keys,
    model_list,
    search,
    tags,
    tracks,
    vocabularies,
    workers,
)
from service.api.web import WEB_DIR, web_router
from service.audit import outcome_of
from service.network.addresses import TrustedProxies
from service.network.origins import parse_origins
from service.runtime import Services
from service.settings import Settings

PREFIX = "/api/v1"
FORM_OVERHEAD_BYTES = 1024 * 1024
JSON_BYTES = 4 * 1024 * 1024

DESCRIPTION = (
    "Find music, and the seconds in it, by describing it. Every error has one shape: "
    "`error.code` is stable, `error.message` is for people, `error.request_id` for the log."
)


class MuqueryApi(FastAPI):
    """FastAPI whose document also holds the JSON parts of multipart forms."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            add_form_schemas(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def create_app(settings: Settings, services: Services, *, web_dir: Path = WEB_DIR) -> FastAPI:
    """The application over built services; its lifespan starts and stops them."""
    app = MuqueryApi(
        title="muquery",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(services),
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    metrics = Metrics(services)
    watcher = ChangeWatcher(services.database, lambda: services.index.wake())
    app.state.services = services
    app.state.metrics = metrics
    app.state.events = EventHub(watcher.look, watcher.hello)
    install_error_handlers(app)
    app.router.routes.extend(_api_routes())
    app.include_router(web_router(web_dir))
    # Added last means outermost.
    app.add_middleware(BodyLimitMiddleware, limit_bytes=_body_limit(settings))
    access = services.access
    origins = parse_origins(settings.cors_origins)
    app.add_middleware(
        HostGuardMiddleware,
        hosts=None if access.asks_for_keys else LOOPBACK_NAMES | {settings.host},
        checks_origin=access.may_be_open,
        origins=origins,
    )
    app.add_middleware(CorsMiddleware, origins=origins)
    app.add_middleware(
        RequestContextMiddleware,
        on_finished=metrics.count_request,
        crash_response=internal_error_response,
        end_act=lambda act, status: act.end(services.database, outcome_of(status), status),
        proxies=TrustedProxies.parse(settings.trusted_proxies),
        prefix=PREFIX,
    )
    return app


@cache
def _api_routes() -> Sequence[BaseRoute]:
    """The same in every application of a process: to build them takes a fifth of a second."""
    router = APIRouter(prefix=PREFIX)
    for module in (
        tracks,
        bulk,
        facets,
        imports,
        exchange,
        jobs,
        events,
        search,
        tags,
        vocabularies,
        embeddings,
        model_list,
        index,
        health,
        workers,
        keys,
        audit,
    ):
        router.include_router(module.router)
    carrier = FastAPI(openapi_url=None, generate_unique_id_function=_operation_id)
    carrier.include_router(router)
    return tuple(carrier.router.routes)


def _lifespan(services: Services) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(services.start)
        try:
            yield
        finally:
            await app.state.events.close()
            await run_in_threadpool(services.stop)

    return lifespan


def _operation_id(route: APIRoute) -> str:
    """The endpoint's own name: short in generated clients, and stable when paths move."""
    return route.name


def _body_limit(settings: Settings) -> Callable[[Scope], int]:
    limits = {
        f"{PREFIX}/tracks": settings.max_upload_bytes + FORM_OVERHEAD_BYTES,
        f"{PREFIX}/embeddings/import": settings.max_embeddings_bytes + FORM_OVERHEAD_BYTES,
        **{
            f"{PREFIX}/{name}/audio": settings.max_clip_bytes + FORM_OVERHEAD_BYTES
            for name in ("search", "tags", "embeddings")
        },
    }

    clips = MAX_CLIPS * settings.max_clip_bytes + FORM_OVERHEAD_BYTES

    def limit(scope: Scope) -> int:
        if scope["method"] != "POST":
            return JSON_BYTES
        if scope["path"] == f"{PREFIX}/search" and is_multipart(scope):
            return clips
        return limits.get(scope["path"], JSON_BYTES)

    return limit
