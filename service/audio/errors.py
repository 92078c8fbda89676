"""Why a file could not be decoded, as one tree with stable codes.

    DecodeError
    ├── EmptyFile            the file has no bytes
    ├── NotAudioFile         no container that we know (also playlists, folders, devices)
    ├── NoAudioStream        a known container without sound
    ├── UnsupportedCodec     sound in a codec, rate or channel count that we do not open
    ├── CorruptAudio         known container and codec, but broken beyond use
    ├── AudioTooShort        decodes, but to less than the least duration
    ├── DecodeTimeout        the decoder used up its time
    ├── DecodeMemoryLimit    the decoder hit its memory limit
    └── DecoderCrashed       the decoder died or broke its protocol

Messages are ours and constant: nothing of a library's text, a path or a tag reaches a client.
"""

from __future__ import annotations

from typing import ClassVar

from service.errors import MuqueryError, NotAudio, TooShort


class DecodeError(MuqueryError):
    """Base of all decoding failures; `code` is the stable reason, also stored with a failed job.

    `is_transient` tells whether the same bytes may decode on another try (a machine under load);
    everything else is a property of the file and must not be retried.
    """

    status: ClassVar[int] = 415
    code: ClassVar[str] = "undecodable_audio"
    default_message: ClassVar[str] = "This file could not be decoded."
    is_transient: ClassVar[bool] = False

    @property
    def reason(self) -> str:
        """The stable code, under the name that job rows use."""
        return self.code


class EmptyFile(DecodeError):
    code, default_message = "empty_file", "The file is empty."


class NotAudioFile(DecodeError, NotAudio):
    code, default_message = "not_audio", "This file is not audio that we can decode."


class NoAudioStream(DecodeError):
    code, default_message = "no_audio_stream", "The file holds no sound."


class UnsupportedCodec(DecodeError):
    code = "unsupported_codec"
    default_message = "The file's audio codec, sample rate or channel count is not supported."


class CorruptAudio(DecodeError):
    code, default_message = "corrupt", "The file is damaged or incomplete."


class AudioTooShort(DecodeError, TooShort):
    status: ClassVar[int] = 422
    code, default_message = "audio_too_short", "The audio is too short to be embedded."


class DecodeTimeout(DecodeError):
    code, default_message = "timeout", "Decoding the file took too long."
    is_transient = True


class DecodeMemoryLimit(DecodeError):
    code, default_message = "memory_limit", "Decoding the file took too much memory."


class DecoderCrashed(DecodeError):
    code, default_message = "decoder_crashed", "The decoder stopped unexpectedly on this file."
    is_transient = True


_BY_CODE: dict[str, type[DecodeError]] = {
    error.code: error
    for error in (
        EmptyFile,
        NotAudioFile,
        NoAudioStream,
        UnsupportedCodec,
        CorruptAudio,
        AudioTooShort,
        DecodeTimeout,
        DecodeMemoryLimit,
        DecoderCrashed,
    )
}


def error_for_code(code: str) -> DecodeError:
    """The error that a code names; an unknown code counts as a crash of the decoder."""
    return _BY_CODE.get(code, DecoderCrashed)()
