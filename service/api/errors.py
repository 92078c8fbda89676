"""Turns every failure into the one error shape, and lists the errors in the OpenAPI document.

The tree of service errors lives in service/errors.py; the few that only HTTP can raise are here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from service.api.request_context import current_request_id
from service.api.schemas import ErrorBody, ErrorResponse
from service.errors import MuqueryError, NotAllowed, Unavailable

log = logging.getLogger(__name__)


class BadRequest(MuqueryError):
    status, code, default_message = 400, "bad_request", "The request could not be read."


class UntrustedHost(MuqueryError):
    status, code = 400, "untrusted_host"
    default_message = "This service does not answer under that host name."


class CrossOrigin(NotAllowed):
    code = "cross_origin"
    default_message = "Another web site may not change anything here."


class MethodNotAllowed(MuqueryError):
    status, code = 405, "method_not_allowed"
    default_message = "This address exists, but does not answer that method."


class RangeNotSatisfiable(MuqueryError):
    status, code = 416, "range_not_satisfiable"
    default_message = "The range lies outside the file."


# What Starlette and FastAPI raise by themselves, by status.
_CODES_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This address exists, but does not answer that method."),
    413: ("too_large", "The request is larger than the limit."),
    415: ("unsupported_media_type", "The body is of a type that is not accepted here."),
}


def error_response(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The one error shape as a response."""
    body = ErrorResponse(
        error=ErrorBody(
            code=code,
            message=message,
            details=dict(details or {}),
            request_id=current_request_id(),
        )
    )
    return JSONResponse(body.model_dump(mode="json"), status_code=status, headers=headers)


def response_of(error: MuqueryError) -> JSONResponse:
    """The response that a service error becomes."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="muquery"'
    return error_response(error.status, error.code, error.message, error.details, headers)


def internal_error_response() -> JSONResponse:
    """What a client sees of an unexpected exception: nothing but that it happened."""
    return error_response(500, MuqueryError.code, MuqueryError.default_message)


async def _on_muquery_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MuqueryError)
    if error.status >= 500:
        log.warning("answered %s %s", error.status, error.code)
    return response_of(error)


async def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    fallback = ("http_error", "The request could not be answered.")
    code, message = _CODES_BY_STATUS.get(error.status_code, fallback)
    return error_response(error.status_code, code, message, headers=error.headers)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    sent = request.headers.get("content-type", "")
    fields = [_problem(item, sent) for item in error.errors()]
    first = fields[0] if fields else {"field": "body", "problem": "is not valid"}
    message = f"{first['field']}: {first['problem']}"
    return error_response(422, "invalid_request", message, {"fields": fields})


def _problem(item: Mapping[str, Any], content_type: str) -> dict[str, str]:
    """Where a request is not valid, and in what way."""
    place, problem = item["loc"], str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "json_invalid" and place[0] == "body":
        place, problem = ("body",), f"is not JSON: {_why(item)} at character {place[-1]}"
    elif place == ("body",) and isinstance(item.get("input"), bytes):
        said = content_type.partition(";")[0] or "no type"
        problem = f"is JSON with Content-Type: application/json; this is called {said}"
    field = ".".join(str(part) for part in place)
    return {"field": _printable(field), "problem": _printable(problem)}


def _why(item: Mapping[str, Any]) -> str:
    return str(item.get("ctx", {}).get("error", "broken")).lower()


def _printable(text: str) -> str:
    """Short enough, and encodable: a client may name a field with half a surrogate pair."""
    return text[:200].encode("utf-8", "replace").decode()


async def _on_database_error(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database failed", exc_info=error)
    return response_of(Unavailable("The database does not answer; try again shortly."))


def install_error_handlers(app: FastAPI) -> None:
    """Make every exception that reaches the app's router leave it as the one error shape."""
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, _on_database_error)
    app.add_exception_handler(MuqueryError, _on_muquery_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


_DESCRIPTIONS: Mapping[int, str] = {
    400: "The request could not be read.",
    401: "A key is needed.",
    403: "The key's scopes do not cover this, or another web site asked.",
    404: "There is no such thing.",
    409: "The state of the thing does not allow this.",
    413: "The body is larger than the limit.",
    415: "The body is not of an accepted type, or not audio.",
    416: "The range lies outside the file.",
    422: "The request is not valid.",
    500: "Something went wrong on our side.",
    429: "Too many calls; Retry-After says when to come again.",
    503: "Not ready or overloaded; Retry-After says when to come again.",
}

_EVERYWHERE = (400, 401, 403, 422, 429, 500, 503)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: the errors that any call may end with, and the given ones."""
    return {
        status: {"model": ErrorResponse, "description": _DESCRIPTIONS[status]}
        for status in sorted({*_EVERYWHERE, *statuses})
    }
