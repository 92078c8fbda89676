"""Every error that a client can see, as one tree.

    MuqueryError
    ├── InvalidRequest 422     ├── NotAuthenticated 401   ├── NotAllowed 403
    ├── NotFound 404           ├── Conflict 409           ├── TooLarge 413
    ├── NotAudio 415           ├── TooMany 429            └── Unavailable 503

A leaf carries a stable `code` (documented in docs/errors.md) and a message that says what to do.
Messages never hold a path, SQL or the text of another exception.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MuqueryError(Exception):
    """Base of every error with a stable code; `details` must be JSON-serialisable."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default_message: ClassVar[str] = "Something went wrong on our side."
    retry_after_s: int | None = None

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or self.default_message)
        self.message = message or self.default_message
        self.details = details


class InvalidRequest(MuqueryError):
    status, code, default_message = 422, "invalid_request", "The request is not valid."


class InvalidCursor(InvalidRequest):
    code, default_message = "invalid_cursor", "This cursor is not one of ours; start from page one."


class EmptyQuery(InvalidRequest):
    code, default_message = "empty_query", "Give at least one text, track or clip to search for."


class TextTooLong(InvalidRequest):
    code, default_message = "text_too_long", "The text is longer than the model can read."


class TooShort(InvalidRequest):
    code, default_message = "audio_too_short", "The audio is too short to be embedded."


class NotAuthenticated(MuqueryError):
    status, code, default_message = 401, "not_authenticated", "Send a key: Authorization: Bearer …"


class NotAllowed(MuqueryError):
    status, code, default_message = 403, "not_allowed", "This key's scopes do not cover this call."


class NotFound(MuqueryError):
    status, code, default_message = 404, "not_found", "There is nothing here."


class TrackNotFound(NotFound):
    code, default_message = "track_not_found", "No track has this id."


class JobNotFound(NotFound):
    code, default_message = "job_not_found", "No job has this id."


class Conflict(MuqueryError):
    status, code, default_message = 409, "conflict", "The state of this thing does not allow that."


class TrackNotReady(Conflict):
    code = "track_not_ready"
    default_message = "The track has not been analysed yet; wait for its job to end."


class JobNotRetryable(Conflict):
    code, default_message = "job_not_retryable", "Only failed or cancelled jobs can be retried."


class JobNotCancellable(Conflict):
    code, default_message = "job_not_cancellable", "Only queued or running jobs can be cancelled."


class TooLarge(MuqueryError):
    status, code, default_message = 413, "too_large", "The upload is larger than the limit."


class NotAudio(MuqueryError):
    status, code, default_message = 415, "not_audio", "This file is not audio that we can decode."


class TooMany(MuqueryError):
    status, code, default_message = 429, "too_many_requests", "Too many requests; slow down."
    retry_after_s = 1


class Unavailable(MuqueryError):
    status, code, default_message = 503, "unavailable", "Not ready yet; try again shortly."
    retry_after_s = 2


class Overloaded(Unavailable):
    code, default_message = "overloaded", "The model's queue is full; try again shortly."


class DiskFull(Unavailable):
    code, default_message = "disk_full", "The disk is too full to accept uploads."
    retry_after_s = 60
