"""A few windows of a track, decoded without decoding the track.

Legend: T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from models.training.decode import SAMPLE_RATE_HZ as WHOLE_RATE_HZ
from models.training.decode import DecodeError, decode_mono
from models.training.seeking import decode_span

WINDOW_S = 10.0
# Below this a track is decoded whole: seeking saves nothing, and short files seek worst.
_WHOLE_BELOW_S = 60.0


def count_windows(duration_s: float, most: int) -> int:
    """How many windows of a track are heard: one at least, up to `most`."""
    return max(1, min(most, int(duration_s // WINDOW_S)))


def window_starts_s(duration_s: float, most: int) -> list[float]:
    """Starts of up to `most` windows, one for each 10 s there are, spread evenly over a track."""
    count = count_windows(duration_s, most)
    share_s = duration_s / count
    return [max(0.0, (i + 0.5) * share_s - WINDOW_S / 2) for i in range(count)]


def read_windows(
    path: Path, duration_s: float, starts_s: Sequence[float], sample_rate_hz: int
) -> list[NDArray[np.float32]]:
    """Mono windows [T] of 10 s at `sample_rate_hz`, for starts in their order.

    DecodeError where the file gives none.
    """
    if duration_s < _WHOLE_BELOW_S:
        track = decode_mono(path)
        return [_cut(track, WHOLE_RATE_HZ, start_s, sample_rate_hz) for start_s in starts_s]
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return [_read_window(container, start_s, sample_rate_hz) for start_s in starts_s]
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(f"not decodable: {error}") from error


def _read_window(
    container: av.container.InputContainer, start_s: float, sample_rate_hz: int
) -> NDArray[np.float32]:
    decoded = decode_span(container, start_s, WINDOW_S)
    if not len(decoded.samples):
        raise DecodeError(f"no audio at {start_s:.1f} s")
    return _cut(decoded.samples, decoded.rate_hz, start_s - decoded.first_s, sample_rate_hz)


def _cut(
    samples: NDArray[np.float32], rate_hz: int, start_s: float, wanted_hz: int
) -> NDArray[np.float32]:
    """The window at `start_s`, moved forward where the audio ends before it is full."""
    size = int(WINDOW_S * rate_hz)
    start = max(0, min(round(start_s * rate_hz), len(samples) - size))
    window = samples[start : start + size]
    if not window.size or not np.isfinite(window).all():
        raise DecodeError("no usable samples in a window")
    resampled = soxr.resample(window, rate_hz, wanted_hz, quality="HQ")
    return np.asarray(resampled, dtype=np.float32)
