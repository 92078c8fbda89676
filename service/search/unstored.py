"""An audio file that is asked about and not kept: decoded in the sandbox, embedded, forgotten.

Legend: N clips, W samples of a window, E embedding width.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.interface import MusicTextEncoder, Vectors
from service.audio.decode import stream_clips
from service.audio.results import DecodeLimits
from service.inference.batcher import ClipEmbedder
from service.inference.encoder import EncoderHandle

DECODERS_AT_ONCE = 4
"""Decoder processes for such files at one time; more requests wait their turn."""


@dataclass(frozen=True, eq=False)
class UnstoredClip:
    """What the model made of a file: clip vectors [N, E], their plain mean [E], their seconds."""

    vectors: Vectors
    mean: Vectors
    starts_s: list[float]
    ends_s: list[float]
    model_id: str
    warnings: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """A name for the content, the same whenever the same file is sent again."""
        return hashlib.sha256(self.vectors.astype("<f2").tobytes()).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class _Windows:
    samples: Vectors
    starts_s: list[float]
    ends_s: list[float]
    cut_at_s: float | None


class UnstoredClips:
    """Embeds files that a request carries."""

    def __init__(
        self,
        clips: ClipEmbedder,
        encoder: EncoderHandle,
        *,
        max_clip_s: float,
        limits: DecodeLimits,
    ) -> None:
        self._clips = clips
        self._encoder = encoder
        self._max_clip_s = max_clip_s
        self._limits = limits
        # Of its own: a decode may take minutes, and must not hold up what others wait for.
        self._decoders = ThreadPoolExecutor(DECODERS_AT_ONCE, thread_name_prefix="decode")

    def close(self) -> None:
        """End the decoders' threads when they are done; safe to call again."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def embed(self, path: Path) -> UnstoredClip:
        """Embed the first `max_clip_s` seconds; raises DecodeError, Unavailable, Overloaded."""
        encoder = self._encoder.get()
        loop = asyncio.get_running_loop()
        windows = await loop.run_in_executor(self._decoders, self._decode, encoder, path)
        vectors = await self._clips.embed_query(windows.samples)
        warnings = []
        if windows.cut_at_s is not None:
            warnings.append(f"Only the first {windows.cut_at_s:g} s of the file were used.")
        return UnstoredClip(
            vectors=vectors,
            mean=vectors.mean(axis=0),
            starts_s=windows.starts_s,
            ends_s=windows.ends_s,
            model_id=encoder.model_id,
            warnings=warnings,
        )

    def _decode(self, encoder: MusicTextEncoder, path: Path) -> _Windows:
        with stream_clips(
            path,
            sample_rate_hz=encoder.sample_rate_hz,
            clip_s=encoder.clip_s,
            max_duration_s=self._max_clip_s,
            limits=self._limits,
        ) as stream:
            clips = list(stream)
            is_cut = stream.summary.truncated_at_cap
        return _Windows(
            samples=np.stack([clip.samples for clip in clips]),
            starts_s=[clip.start_s for clip in clips],
            ends_s=[clip.end_s for clip in clips],
            cut_at_s=self._max_clip_s if is_cut else None,
        )
