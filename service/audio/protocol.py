"""The framed stream between a decoder process and its parent.

A frame is one kind byte, a little-endian uint32 length, and the payload. A whole conversation is
HEADER PCM* TRAILER, or ERROR in place of whatever would have come next. HEADER, TRAILER and ERROR
carry JSON; PCM carries little-endian float32 samples.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal

from service.audio.results import DecodeLimits

PREFIX = struct.Struct("<BI")
MAX_PAYLOAD_BYTES = 1 << 20


class FrameKind(IntEnum):
    """The kind byte of a frame."""

    HEADER = ord("H")
    PCM = ord("P")
    TRAILER = ord("T")
    ERROR = ord("E")


@dataclass(frozen=True)
class Frame:
    """One message; the payload's meaning follows from its kind."""

    kind: FrameKind
    payload: bytes

    def json(self) -> dict[str, Any]:
        """The payload as a JSON object; raises ValueError when it is anything else."""
        value = json.loads(self.payload)
        if not isinstance(value, dict):
            raise ValueError("a JSON object was expected")
        return value


@dataclass(frozen=True)
class DecodeRequest:
    """What a decoder process is asked to do with its standard input."""

    mode: Literal["probe", "decode"]
    sample_rate_hz: int
    max_samples: int
    limits: DecodeLimits

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DecodeRequest:
        fields = json.loads(text)
        return cls(**{**fields, "limits": DecodeLimits(**fields["limits"])})


def pack_frame(kind: FrameKind, payload: bytes) -> bytes:
    """A frame as bytes; raises ValueError when the payload is over the limit."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("payload is over the frame limit")
    return PREFIX.pack(kind, len(payload)) + payload


def pack_json(kind: FrameKind, value: dict[str, Any]) -> bytes:
    """A JSON frame as bytes."""
    return pack_frame(kind, json.dumps(value, allow_nan=False).encode())


def read_frame(read_exactly: Callable[[int], bytes]) -> Frame:
    """The next frame from `read_exactly(n)`; raises ValueError on an unknown kind or length.

    The other side has parsed hostile bytes, so it is not trusted to keep to the limits.
    """
    kind, length = PREFIX.unpack(read_exactly(PREFIX.size))
    if length > MAX_PAYLOAD_BYTES:
        raise ValueError("frame is over the limit")
    return Frame(FrameKind(kind), read_exactly(length) if length else b"")
