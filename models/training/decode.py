"""Decode an audio file whole to 24 kHz mono for training material that we trust.

Serving has its own sandboxed, streaming decoder; this one is for a corpus on disk.
Legend: T samples, C channels.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 24_000
_MIN_S = 0.5


class DecodeError(RuntimeError):
    """A file cannot be decoded to usable audio."""


def decode_mono(path: Path, max_s: float = 1200.0) -> NDArray[np.float32]:
    """Decode to mono float samples [T] at 24 kHz: the mean over channels, resampled by soxr HQ.

    Corrupt packets are skipped. Raises DecodeError for files without audio, for less than half a
    second of it, and for samples that are not finite.
    """
    try:
        samples, rate_hz = _decode_native(path, max_s)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"not decodable: {error}") from error
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    if len(samples) < _MIN_S * SAMPLE_RATE_HZ:
        raise DecodeError(f"only {len(samples) / SAMPLE_RATE_HZ:.2f} s of audio")
    if not np.isfinite(samples).all():
        raise DecodeError("samples that are not finite")
    # Damaged files have been seen to reach 4 times full scale.
    return np.clip(samples, -1.5, 1.5).astype(np.float32)


def _decode_native(path: Path, max_s: float) -> tuple[NDArray[np.float32], int]:
    # Tags in an unknown encoding must not cost the audio.
    with av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.audio:
            raise ValueError("no audio stream")
        stream = container.streams.audio[0]
        rate_hz = int(stream.rate)
        parts: list[NDArray[np.float32]] = []
        left = int(max_s * rate_hz)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                parts.append(mono_samples(frame)[:left])
                left -= len(parts[-1])
            if left <= 0:
                break
    if not parts:
        raise ValueError("no audio could be decoded")
    return np.concatenate(parts), rate_hz


def mono_samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return a decoded frame's samples [T] in -1 to 1, averaged over its channels."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    if data.dtype == np.uint8:
        data = (data.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(data.dtype, np.integer):
        data = data.astype(np.float32) / 2.0 ** (8 * data.dtype.itemsize - 1)
    mono: NDArray[np.float32] = data.mean(axis=0, dtype=np.float32)
    return mono
