"""The waveform that the page draws, computed while a track streams by.

The length is not known beforehand, so peaks are kept in buckets that merge in pairs, and double
in width, each time their number reaches a fixed capacity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.audio.results import Samples

PEAK_COUNT = 800
_CAPACITY = 8 * PEAK_COUNT
_FULL_SCALE = 255.0


class PeakBuilder:
    """Absolute peaks of a stream of unknown length, in constant memory.

    The result does not depend on how the stream was cut into blocks.
    """

    def __init__(self) -> None:
        self._peaks = np.zeros(_CAPACITY, dtype=np.float32)
        self._width = 1
        self._full = 0
        self._in_last = 0

    def add(self, block: Samples) -> None:
        """Take the next samples [T]."""
        rest = np.abs(block)
        while rest.size:
            if self._full == _CAPACITY:
                self._merge_pairs()
            rest = self._fill_partial(rest) if self._in_last else self._fill_whole(rest)

    def _fill_partial(self, rest: Samples) -> Samples:
        take = min(self._width - self._in_last, rest.size)
        self._peaks[self._full] = max(self._peaks[self._full], rest[:take].max())
        self._in_last += take
        if self._in_last == self._width:
            self._full, self._in_last = self._full + 1, 0
        return rest[take:]

    def _fill_whole(self, rest: Samples) -> Samples:
        count = min(rest.size // self._width, _CAPACITY - self._full)
        if count == 0:
            self._peaks[self._full] = rest.max()
            self._in_last = rest.size
            return rest[:0]
        taken = rest[: count * self._width].reshape(count, self._width)
        self._peaks[self._full : self._full + count] = taken.max(axis=1)
        self._full += count
        return rest[count * self._width :]

    def _merge_pairs(self) -> None:
        half = _CAPACITY // 2
        self._peaks[:half] = self._peaks.reshape(half, 2).max(axis=1)
        self._peaks[half:] = 0.0
        self._width *= 2
        self._full = half

    def finish(self) -> npt.NDArray[np.uint8]:
        """Peaks uint8 [PEAK_COUNT], 255 = full scale (louder saturates); silence for no samples.

        Bucket i covers the stream from i/PEAK_COUNT to (i+1)/PEAK_COUNT of its length, widened to
        whole inner buckets, so that no peak is lost. A short stream repeats its buckets.
        """
        used = self._full + (1 if self._in_last else 0)
        if used == 0:
            return np.zeros(PEAK_COUNT, dtype=np.uint8)
        total = self._full * self._width + self._in_last
        edges = np.arange(PEAK_COUNT + 1, dtype=np.int64) * total
        starts = edges[:-1] // (PEAK_COUNT * self._width)
        ends = -(-edges[1:] // (PEAK_COUNT * self._width))
        peaks = [self._peaks[a:b].max() for a, b in zip(starts, ends, strict=True)]
        scaled = np.rint(np.clip(peaks, 0.0, 1.0) * _FULL_SCALE)
        return np.asarray(scaled, dtype=np.uint8)
