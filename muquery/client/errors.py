"""What can go wrong when a program talks to a service."""

from __future__ import annotations

import json
from typing import Any

import httpx


class MuqueryError(Exception):
    """Base of everything that this client raises."""


class ConnectionFailed(MuqueryError):
    """Nothing answered, or the connection broke, and trying again did not help."""


class UnexpectedAnswer(MuqueryError):
    """What answered is not a muquery service, or is one of another generation."""


class ApiError(MuqueryError):
    """The service refused: `code` is stable (docs/errors.md), `message` is for people."""

    def __init__(
        self, status: int, code: str, message: str, details: dict[str, Any], request_id: str
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.status, self.code, self.message = status, code, message
        self.details, self.request_id = details, request_id


class NotAllowed(ApiError):
    """401 or 403: a key is missing, unknown, or lacks a scope."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: the thing is not in a state that allows this."""


class Invalid(ApiError):
    """400, 413, 415 or 422: the request or its file cannot be used as it is."""


class Busy(ApiError):
    """429 or 503, after every retry; `retry_after_s` is what the service asked for."""

    retry_after_s: float | None = None


_KINDS: dict[int, type[ApiError]] = {
    400: Invalid, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: Invalid,
    415: Invalid, 422: Invalid, 429: Busy, 503: Busy,
}  # fmt: skip


def error_of(response: httpx.Response) -> MuqueryError:
    """Return the error that an unsuccessful, fully read response stands for."""
    try:
        body = json.loads(response.content)["error"]
        kind = _KINDS.get(response.status_code, ApiError)
        error = kind(
            response.status_code,
            str(body["code"]),
            str(body["message"]),
            dict(body.get("details") or {}),
            str(body.get("request_id", "")),
        )
    except (ValueError, KeyError, TypeError):
        return UnexpectedAnswer(f"unexpected answer {response.status_code} from {response.url}")
    if isinstance(error, Busy):
        error.retry_after_s = retry_after_s(response)
    return error


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds that a Retry-After header asks for."""
    try:
        return max(float(response.headers["retry-after"]), 0.0)
    except (KeyError, ValueError):
        return None
