"""What the decoder tells about a file, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodeLimits:
    """What one decoder process may use.

    `memory_bytes` is address space: Python, numpy, FFmpeg and soxr map about 200 MiB before the
    first byte of audio. `timeout_s` counts only the time that the reader waits for the decoder, so
    that a slow consumer (a model on a CPU) does not use it up.
    """

    memory_bytes: int = 1024 * 1024 * 1024
    cpu_s: int = 300
    timeout_s: float = 600.0
    open_files: int = 32
    min_duration_s: float = 0.1

    def __post_init__(self) -> None:
        if self.memory_bytes < 256 * 1024 * 1024:
            raise ValueError("memory_bytes must be at least 256 MiB for the decoder to start")
        if self.cpu_s < 1 or self.timeout_s <= 0 or self.open_files < 16:
            raise ValueError("cpu_s >= 1, timeout_s > 0 and open_files >= 16 are needed")


@dataclass(frozen=True)
class AudioTags:
    """Metadata of the file itself: cleaned, capped in length, None where absent."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    album_artist: str | None = None
    genre: str | None = None
    year: int | None = None


@dataclass(frozen=True)
class AudioProbe:
    """What is known before decoding; `duration_s` is the container's claim, or None."""

    format: str
    codec: str
    duration_s: float | None
    sample_rate_hz: int
    channels: int
    tags: AudioTags = field(default_factory=AudioTags)


@dataclass(frozen=True)
class DecodeSummary:
    """What came out of a whole decode.

    `duration_s` and `samples` are of the mono stream that was delivered. `ended_early` says that
    the file announces more sound than it held (a cut-off download); it is never set when the
    decode stopped at the cap. `non_finite_samples` were replaced by silence.
    """

    duration_s: float
    samples: int
    truncated_at_cap: bool
    corrupt_packets: int
    declared_duration_s: float | None
    ended_early: bool
    non_finite_samples: int
    decoder_cpu_s: float
    decoder_peak_bytes: int
