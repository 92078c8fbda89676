"""What a model says about its input, in the words of the service's own errors."""

from __future__ import annotations

from models.errors import (
    AudioTooShortError,
    EmptyTextError,
    InputError,
    NonFiniteAudioError,
    TextTooLongError,
)
from service.errors import InvalidRequest, MuqueryError, TextTooLong, TooShort


class NotEmbeddable(InvalidRequest):
    code, default_message = "not_embeddable", "The model cannot embed this."


def as_service_error(error: Exception) -> Exception:
    """The client's own fault as a MuqueryError; everything else as it is."""
    if isinstance(error, TextTooLongError):
        return TextTooLong(tokens=error.tokens, max_tokens=error.max_tokens)
    if isinstance(error, EmptyTextError):
        return InvalidRequest("A text has no content.")
    if isinstance(error, AudioTooShortError):
        return TooShort()
    if isinstance(error, NonFiniteAudioError):
        return NotEmbeddable("The audio holds samples that are no numbers.")
    if isinstance(error, InputError) and not isinstance(error, MuqueryError):
        return NotEmbeddable()
    return error
