"""An encoder whose batches are told to whoever counts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from models.interface import MusicTextEncoder, Vectors

Tower = Literal["text", "audio"]


@dataclass(frozen=True)
class Batch:
    """One run of a tower over `size` texts or clips."""

    tower: Tower
    size: int
    duration_s: float


class _Observed:
    """Everything of the encoder, with two methods timed."""

    def __init__(self, encoder: MusicTextEncoder, tell: Callable[[Batch], None]) -> None:
        self._encoder = encoder
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        started = time.perf_counter()
        vectors = self._encoder.embed_text(texts)
        self._tell(Batch("text", len(texts), time.perf_counter() - started))
        return vectors

    def embed_clips(self, clips: Vectors) -> Vectors:
        started = time.perf_counter()
        vectors = self._encoder.embed_clips(clips)
        self._tell(Batch("audio", len(clips), time.perf_counter() - started))
        return vectors


def observed(encoder: MusicTextEncoder, tell: Callable[[Batch], None]) -> MusicTextEncoder:
    """The same encoder; `tell` is called in the model's thread after each batch that succeeded."""
    return cast(MusicTextEncoder, _Observed(encoder, tell))
