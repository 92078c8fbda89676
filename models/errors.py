"""What can go wrong with a model bundle or its input; `service/` maps these to its own errors.

ModelError
├── BundleError                  ├── InputError (a ValueError)
│   ├── BundleNotFoundError      │   ├── EmptyTextError
│   ├── BundleFormatError        │   ├── TextTooLongError
│   ├── BundleTooNewError        │   ├── WindowLengthError
│   ├── BundleDamagedError       │   ├── AudioTooShortError
│   ├── BundleSelfTestError      │   └── NonFiniteAudioError
│   └── PullError                └── RuntimeUnavailableError
"""

from __future__ import annotations


class ModelError(Exception):
    """Base of all errors of a model bundle and its use."""


class BundleError(ModelError):
    """A bundle cannot be found, read, trusted or written."""


class BundleNotFoundError(BundleError):
    """No bundle has this name, or its folder is not there."""


class BundleFormatError(BundleError):
    """The folder is not a bundle as this version writes them, or it holds what is not allowed."""


class BundleTooNewError(BundleFormatError):
    """The bundle was written by a newer version whose schema this one does not know."""


class BundleDamagedError(BundleError):
    """A file of the bundle is missing or differs from its checksum; the message names it."""


class BundleSelfTestError(BundleError):
    """The bundle loads, but what it computes is not what it was saved with."""


class PullError(BundleError):
    """A published model could not be downloaded, verified or placed."""


class RuntimeUnavailableError(ModelError):
    """This runtime, device or precision cannot be had here; the message says what is needed."""


class InputError(ModelError, ValueError):
    """The input cannot be embedded; what it holds, not the model, is at fault."""


class EmptyTextError(InputError):
    """A text has no content."""


class TextTooLongError(InputError):
    """A text has more tokens than the model reads; nothing is cut off silently."""

    def __init__(self, tokens: int | None, max_tokens: int, index: int) -> None:
        """`tokens` is None for a text so long that its tokens were not counted."""
        length = "far too many" if tokens is None else str(tokens)
        super().__init__(f"text {index} has {length} tokens; the model reads {max_tokens} at most")
        self.tokens = tokens
        self.max_tokens = max_tokens
        self.index = index


class WindowLengthError(InputError):
    """Clips are not windows of the model's length."""


class AudioTooShortError(InputError):
    """The audio has too few samples to be embedded at all."""


class NonFiniteAudioError(InputError):
    """The audio holds NaN or infinite samples."""
