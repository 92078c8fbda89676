"""What a query is made of: texts, stored tracks or spans of them, and clips that are not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Text:
    """A description; a negative `weight` asks for what it does not fit."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Stored:
    """A track of the library, whole or from `start_s` to `end_s`."""

    track_id: str
    start_s: float | None = None
    end_s: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Clip:
    """Audio that is sent along and not kept: a path, or a file opened for reading bytes."""

    audio: str | Path | IO[bytes]
    weight: float = 1.0


Part = Text | Stored | Clip


def as_parts(query: str | Part | Sequence[str | Part]) -> list[Part]:
    """Return a query as its parts; a plain text is a part of weight 1."""
    given = [query] if isinstance(query, str | Text | Stored | Clip) else list(query)
    return [Text(part) if isinstance(part, str) else part for part in given]


def wire_part(part: Part, clip_field: str | None) -> dict[str, Any]:
    """Return a part as JSON; a clip is named by the form's field that carries it."""
    if isinstance(part, Text):
        body: dict[str, Any] = {"text": part.text}
    elif isinstance(part, Stored):
        body = {"track_id": part.track_id, "start_s": part.start_s, "end_s": part.end_s}
    else:
        body = {"clip": clip_field}
    body["weight"] = part.weight
    return {name: value for name, value in body.items() if value is not None}
