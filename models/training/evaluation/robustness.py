"""How far a clip's vector moves when its sound is changed as the world changes it.

Each change goes through a real file: written by an encoder, read by the decoder of training.
Legend: C channels, T samples, E embedding width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from models.interface import MusicTextEncoder
from models.training.corpus.audio import decode
from models.training.decode import SAMPLE_RATE_HZ, decode_mono
from models.training.manifest import ManifestEntry
from models.training.metrics import Interval, bootstrap

Samples = NDArray[np.float32]

RATE_HZ = 44_100
CLIP_S = 10
_FRAME = 1152


@dataclass(frozen=True)
class Change:
    """One change: what is done to stereo samples [C, T] at 44.1 kHz, and the file it becomes."""

    name: str
    alter: Callable[[Samples], Samples]
    codec: str = "pcm_s16le"
    bit_rate: int | None = None

    @property
    def suffix(self) -> str:
        return ".mp3" if self.codec == "libmp3lame" else ".wav"


@dataclass(frozen=True)
class Robustness:
    """Cosine of changed clips to the same clips unchanged: mean with interval, and the worst."""

    change: str
    clips: int
    cosine: Interval
    lowest: float
    tenth_percentile: float


def quieter(samples: Samples, gain_db: float = -20.0) -> Samples:
    """The same sound at another level."""
    return np.asarray(samples * 10 ** (gain_db / 20), dtype=np.float32)


def mixed_down(samples: Samples) -> Samples:
    """One channel, the mean of all."""
    return np.asarray(samples.mean(axis=0, keepdims=True), dtype=np.float32)


def noisy(samples: Samples, ratio_db: float = 20.0) -> Samples:
    """White noise added, `ratio_db` below the clip's own mean power."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    noise = np.random.default_rng(0).normal(size=samples.shape)
    return np.asarray(samples + noise * np.sqrt(power / 10 ** (ratio_db / 10)), dtype=np.float32)


def _unchanged(samples: Samples) -> Samples:
    return samples


CHANGES: tuple[Change, ...] = (
    Change("20 dB quieter", quieter),
    Change("mp3, 64 kbit/s", _unchanged, "libmp3lame", 64_000),
    Change("mono", mixed_down),
    Change("white noise at 20 dB below", noisy),
)


def measure_robustness(
    encoder: MusicTextEncoder,
    tracks: Sequence[tuple[Path, ManifestEntry]],
    changes: Sequence[Change] = CHANGES,
) -> list[Robustness]:
    """Embed the middle ten seconds of each track [files], as they are and changed."""
    cosines: dict[str, list[float]] = {change.name: [] for change in changes}
    with tempfile.TemporaryDirectory() as scratch:
        for path, _ in tracks:
            clip = middle(decode(path, RATE_HZ))
            plain = _embed(encoder, Path(scratch), clip, Change("", _unchanged))
            for change in changes:
                other = _embed(encoder, Path(scratch), clip, change)
                cosines[change.name].append(float(plain @ other))
    return [_summary(name, np.asarray(values)) for name, values in cosines.items()]


def middle(samples: Samples, rate_hz: int = RATE_HZ) -> Samples:
    """The middle ten seconds of [C, T], at a level that 16 bits hold without clipping."""
    wanted = CLIP_S * rate_hz
    start = max(samples.shape[1] - wanted, 0) // 2
    clip = samples[:2, start : start + wanted]
    return np.asarray(clip / max(1.0, float(np.abs(clip).max()) * 1.05), dtype=np.float32)


def write_file(
    path: Path, samples: Samples, rate_hz: int, codec: str, bit_rate: int | None
) -> None:
    """Encode [C, T] to a file by its suffix; the clip's peak must lie below 1."""
    layout = "stereo" if samples.shape[0] == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = cast(AudioStream, container.add_stream(codec, rate=rate_hz, layout=layout))
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz)
        for start in range(0, samples.shape[1], _FRAME):
            block = np.ascontiguousarray(samples[:, start : start + _FRAME])
            frame = AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))
        container.mux(stream.encode(None))


def _embed(encoder: MusicTextEncoder, folder: Path, clip: Samples, change: Change) -> Samples:
    path = folder / f"clip{change.suffix}"
    write_file(path, change.alter(clip), RATE_HZ, change.codec, change.bit_rate)
    samples = decode_mono(path)[: CLIP_S * SAMPLE_RATE_HZ]
    vector: Samples = encoder.embed_clips(samples[np.newaxis])[0]
    return vector


def _summary(name: str, cosines: NDArray[np.float64]) -> Robustness:
    clips = [str(i) for i in range(len(cosines))]

    def mean(items: NDArray[np.int64]) -> float:
        return float(cosines[items].mean())

    return Robustness(
        change=name,
        clips=len(cosines),
        cosine=bootstrap(mean, clips, chance=0.0),
        lowest=float(cosines.min()),
        tenth_percentile=float(np.quantile(cosines, 0.1)),
    )
