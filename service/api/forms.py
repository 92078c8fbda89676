"""The multipart bodies of this API: one file and one JSON part, received off the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
)
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool

from service.api import schemas, tag_schemas
from service.api.multipart import UploadForm, read_upload_form
from service.blobs.store import PendingBlob
from service.runtime import Services

T = TypeVar("T", bound=BaseModel)

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


def parse_json_part(form: UploadForm, name: str, kind: type[T]) -> T:
    """The form's JSON part as a wire type (an absent one counts as {}); a 422 names its fields."""
    try:
        return kind.model_validate_json(form.fields.get(name) or "{}")
    except ValidationError as error:
        details = [{**item, "loc": (name, *item["loc"])} for item in error.errors()]
        raise RequestValidationError(details) from None


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
