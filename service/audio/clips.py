"""Cutting a mono stream into the fixed windows that the audio tower embeds.

Legend: T samples of a track, W samples of a window (240,000 for 10 s at 24 kHz), N windows.

The published rule (MuQ-MuLan's inference, see its `clip_secs`): consecutive windows; a last
partial window is completed by the START of the track. So 10 s and one sample make two windows,
the second of one new sample and W - 1 of the first; we keep that, because the windows of a track
of at least W samples must equal the published ones.

Where we depart: the published code wraps only once, so that under W / 2 its only window has 2 T
samples, and such windows cannot be stacked. Ours go on repeating the track until W is full. For
W / 2 <= T < W the two agree. Below that, the first `published_samples` of ours are the published
window, for whoever needs that exact value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.audio.results import Samples

CLIP_S = 10.0


@dataclass(frozen=True, eq=False)
class Clip:
    """One window [W] of a track; `start_s` to `end_s` is its own part of the track, unwrapped."""

    index: int
    start_s: float
    end_s: float
    samples: Samples
    own_samples: int

    @property
    def published_samples(self) -> int:
        """Length of the window that the published code would have cut here."""
        if self.index == 0:
            return min(2 * self.own_samples, self.samples.size)
        return self.samples.size


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Consecutive clips: samples [N, W], and index, start and end of each [N]."""

    samples: Samples
    indexes: npt.NDArray[np.int64]
    starts_s: npt.NDArray[np.float64]
    ends_s: npt.NDArray[np.float64]


class ClipCutter:
    """Cuts a stream of blocks into clips, holding two windows of samples at most.

    The clips do not depend on how the stream was cut into blocks.
    """

    def __init__(self, sample_rate_hz: int, clip_s: float = CLIP_S) -> None:
        self._window = round(clip_s * sample_rate_hz)
        if self._window < 1:
            raise ValueError("a clip must hold at least one sample")
        self._sample_rate_hz = sample_rate_hz
        self._current = np.empty(self._window, dtype=np.float32)
        self._filled = 0
        self._index = 0
        self._head: Samples | None = None

    def push(self, block: Samples) -> list[Clip]:
        """Take the next samples [T]; returns the windows that they complete."""
        clips: list[Clip] = []
        offset = 0
        while offset < block.size:
            take = min(self._window - self._filled, block.size - offset)
            self._current[self._filled : self._filled + take] = block[offset : offset + take]
            self._filled += take
            offset += take
            if self._filled == self._window:
                clips.append(self._emit(self._current))
                self._current = np.empty(self._window, dtype=np.float32)
        return clips

    def finish(self) -> list[Clip]:
        """The last, wrapped window where samples are left over; nothing for an empty stream."""
        if self._filled == 0:
            return []
        own = self._current[: self._filled]
        source = own if self._head is None else self._head
        rest = self._window - self._filled
        # resize repeats its source until the asked length is full.
        return [self._emit(np.concatenate([own, np.resize(source, rest)]))]

    def _emit(self, samples: Samples) -> Clip:
        start = self._index * self._window
        clip = Clip(
            index=self._index,
            start_s=start / self._sample_rate_hz,
            end_s=(start + self._filled) / self._sample_rate_hz,
            samples=samples,
            own_samples=self._filled,
        )
        if self._head is None:
            # A copy, so that a caller that writes into its clip cannot change the last one.
            self._head = samples.copy()
        self._index += 1
        self._filled = 0
        return clip


def cut_clips(samples: Samples, sample_rate_hz: int, clip_s: float = CLIP_S) -> list[Clip]:
    """All clips of a track that is in memory, [T] -> N clips."""
    cutter = ClipCutter(sample_rate_hz, clip_s)
    return [*cutter.push(samples), *cutter.finish()]


def batch_clips(clips: Iterable[Clip], batch_size: int) -> Iterator[ClipBatch]:
    """Stack clips in order, `batch_size` at a time; the last batch may be smaller."""
    if batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    pending: list[Clip] = []
    for clip in clips:
        pending.append(clip)
        if len(pending) == batch_size:
            yield _stack(pending)
            pending = []
    if pending:
        yield _stack(pending)


def _stack(clips: list[Clip]) -> ClipBatch:
    return ClipBatch(
        samples=np.stack([clip.samples for clip in clips]),
        indexes=np.array([clip.index for clip in clips], dtype=np.int64),
        starts_s=np.array([clip.start_s for clip in clips], dtype=np.float64),
        ends_s=np.array([clip.end_s for clip in clips], dtype=np.float64),
    )
