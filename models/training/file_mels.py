"""Log-mel crops straight from the audio files, by seeking: for corpora too large to cache.

Legend: B crops, F frames (100 a second), M mel bins, T samples.

A crop is decoded from half a second before it, so that codecs have settled and resampling and the
first windows see what they would see in the whole file. Several threads decode at once: FFmpeg and
the resampler work outside Python's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio.mel_numpy import log_mel
from models.networks.config import MelConfig
from models.training.decode import SAMPLE_RATE_HZ, DecodeError
from models.training.manifest import ManifestEntry
from models.training.seeking import decode_span

_MEL = MelConfig()
# Half a window and a bit: frames this close to the edge of what was decoded see padding.
_MARGIN_FRAMES = 8


class FileMels:
    """Reads crops of the entries' files; has the reading side of `MelCache`.

    `root` is the manifest's folder. A file that ends before its stated duration starts again from
    its beginning, as short files do. Raises DecodeError for what cannot be decoded.
    """

    mel_bins = _MEL.mel_bins

    def __init__(self, entries: Sequence[ManifestEntry], root: Path, threads: int = 2) -> None:
        self._paths = {entry.sha256: root / entry.path for entry in entries}
        self._frames = {e.sha256: max(int(e.duration_s * _MEL.frame_rate_hz), 1) for e in entries}
        self._pool = ThreadPoolExecutor(max(threads, 1), thread_name_prefix="decode")

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._paths

    def frames(self, sha256: str) -> int:
        """Return how many frames a file has, by its stated duration."""
        return self._frames[sha256]

    def read(self, sha256: str, start: int, count: int) -> NDArray[np.float32]:
        """Read normalised frames [count, M] from frame `start`; wraps at the end of the file."""
        length = self._frames[sha256]
        if start + count <= length:
            frames = self._read_frames(sha256, start, count)
        else:
            frames = self._read_frames(sha256, 0, length)
            frames = np.roll(frames, -start, axis=0) if len(frames) else frames
        if not len(frames):
            raise DecodeError(f"{self._paths[sha256].name}: no audio at frame {start}")
        # Stated durations may be a little longer than the audio.
        wrapped: NDArray[np.float32] = frames[np.arange(count) % len(frames)]
        return wrapped

    def read_many(
        self, files: Sequence[str], starts: Sequence[int], count: int
    ) -> list[NDArray[np.float32]]:
        """Read one crop [count, M] of each file, several at a time, in order."""
        return list(self._pool.map(self.read, files, starts, [count] * len(files)))

    def _read_frames(self, sha256: str, start: int, count: int) -> NDArray[np.float32]:
        before = min(start, _MARGIN_FRAMES)
        first = (start - before) / _MEL.frame_rate_hz
        length_s = (before + count + _MARGIN_FRAMES) / _MEL.frame_rate_hz
        samples = read_span(self._paths[sha256], first, length_s)
        if len(samples) < _MEL.min_samples:
            return np.zeros((0, _MEL.mel_bins), dtype=np.float32)
        frames: NDArray[np.float32] = log_mel(samples[None])[0].T[before : before + count]
        return frames


def read_span(path: Path, start_s: float, length_s: float) -> NDArray[np.float32]:
    """Decode `length_s` seconds from `start_s` to mono [T] at 24 kHz; shorter where the file ends.

    Raises DecodeError for a file that cannot be opened, and for samples that are not finite.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise DecodeError(f"{path.name} has no audio stream")
            decoded = decode_span(container, start_s, length_s)
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(f"{path.name} is not decodable: {error}") from error
    samples = decoded.samples
    if decoded.rate_hz != SAMPLE_RATE_HZ and len(samples):
        samples = soxr.resample(samples, decoded.rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    skipped = max(round((start_s - decoded.first_s) * SAMPLE_RATE_HZ), 0)
    span = samples[skipped : skipped + round(length_s * SAMPLE_RATE_HZ)]
    if not np.isfinite(span).all():
        raise DecodeError(f"{path.name}: samples that are not finite")
    return np.clip(span, -1.5, 1.5).astype(np.float32)
