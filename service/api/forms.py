"""The multipart bodies of this API: files and one JSON part, received off the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from service.api import schemas, tag_schemas
from service.api.multipart import FilesForm, UploadForm, read_files_form, read_upload_form
from service.blobs.store import PendingBlob
from service.runtime import Services

T = TypeVar("T", bound=BaseModel)

MAX_CLIPS = 4
"""Unstored clips that one search may hold."""

FORM_PARTS = (schemas.TrackMetadata, schemas.AudioSearchRequest, tag_schemas.TagOptions)


@asynccontextmanager
async def received_file(
    request: Request,
    pending: AbstractContextManager[PendingBlob],
    *,
    json_field: str,
    max_bytes: int,
) -> AsyncIterator[tuple[PendingBlob, UploadForm]]:
    """Stream the request's file into a pending blob, which is gone after the block."""
    blob = await run_in_threadpool(pending.__enter__)
    try:
        form = await read_upload_form(
            request, blob, max_file_bytes=max_bytes, text_fields={json_field}
        )
        yield blob, form
    finally:
        await run_in_threadpool(pending.__exit__, None, None, None)


def received_clip(
    request: Request, services: Services
) -> AbstractAsyncContextManager[tuple[PendingBlob, UploadForm]]:
    """The same for a clip that is not kept, with its own limit and its JSON part `options`."""
    max_bytes = services.settings.max_clip_bytes
    return received_file(
        request, services.blobs.receive(max_bytes), json_field="options", max_bytes=max_bytes
    )


@asynccontextmanager
async def received_clips(
    request: Request, services: Services
) -> AsyncIterator[tuple[dict[str, PendingBlob], FilesForm]]:
    """Clips that are not kept, by the names of their fields, beside the JSON field `request`."""
    max_bytes = services.settings.max_clip_bytes
    blobs: list[PendingBlob] = []
    async with AsyncExitStack() as stack:

        async def open_sink() -> PendingBlob:
            pending = services.blobs.receive(max_bytes)
            blobs.append(await run_in_threadpool(pending.__enter__))
            stack.push_async_callback(run_in_threadpool, pending.__exit__, None, None, None)
            return blobs[-1]

        form = await read_files_form(
            request,
            open_sink,
            max_file_bytes=max_bytes,
            max_files=MAX_CLIPS,
            text_fields={"request"},
        )
        yield dict(zip(form.files, blobs, strict=True)), form


def parse_json_part(form: UploadForm | FilesForm, name: str, kind: type[T]) -> T:
    """The form's JSON part as a wire type (an absent one counts as {}); a 422 names its fields."""
    try:
        return kind.model_validate_json(form.fields.get(name) or "{}")
    except ValidationError as error:
        details = [{**item, "loc": (name, *item["loc"])} for item in error.errors()]
        raise RequestValidationError(details) from None


class MultipartRoute(APIRoute):
    """A route that answers for its address only where the body is a multipart form."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and not is_multipart(scope):
            return Match.NONE, {}
        return match, child


def is_multipart(scope: Scope) -> bool:
    """Whether a request says that its body is a multipart form."""
    kind = Headers(scope=scope).get("content-type", "") if scope["type"] == "http" else ""
    return kind.lower().startswith("multipart/form-data")


def clips_body(json_field: str, kind: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI form of JSON beside files under names of the caller's choice."""
    schema = {
        "type": "object",
        "required": [json_field],
        "properties": {json_field: {"$ref": f"#/components/schemas/{kind.__name__}"}},
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
    }
    encoding = {json_field: {"contentType": "application/json"}}
    return {
        "requestBody": {
            "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}
        }
    }


def multipart_body(
    json_field: str, kind: type[BaseModel], *, required: bool = False
) -> dict[str, Any]:
    """The OpenAPI request body of such a form, for `openapi_extra`."""
    fields = ["file", json_field] if required else ["file"]
    schema = {
        "type": "object",
        "required": fields,
        "properties": {
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
            json_field: {"$ref": f"#/components/schemas/{kind.__name__}"},
        },
    }
    encoding = {json_field: {"contentType": "application/json"}}
    content = {"multipart/form-data": {"schema": schema, "encoding": encoding}}
    return {"requestBody": {"required": True, "content": content}}


def add_form_schemas(document: dict[str, Any]) -> None:
    """Add the wire types of JSON parts to an OpenAPI document: no signature names them."""
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in FORM_PARTS], ref_template="#/components/schemas/{model}"
    )
    known = document["components"]["schemas"]
    for name, schema in definitions.get("$defs", {}).items():
        known.setdefault(name, schema)
