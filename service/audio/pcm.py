"""From decoded frames to the mono float32 stream that the model reads.

Legend: C channels, S samples per channel of native frames, T samples at the output rate.

Channels are averaged here, in native frames. FFmpeg's own downmix of floats to mono is 3 dB
louder than the mean of left and right, which moves the embedding (it is not gain-invariant).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from service.audio.results import Samples

# Lossy decoders overshoot full scale on loud masters (1.1 to 1.4 is common and is kept); broken
# files reach far more. 6 dB over full scale separates the two.
MAX_ABS_SAMPLE = 2.0
# Values per channel and channels converted at once; large enough that numpy's calls do not count.
_BATCH_VALUES = 131_072

_INTEGER_SCALES = {"u8": 1 / 128, "s16": 1 / 32_768, "s32": 1 / 2_147_483_648}
_U8_ZERO = 128.0
_FLOATS = ("flt", "dbl")


@dataclass(frozen=True)
class FrameLayout:
    """Shape of native frames: FFmpeg's sample format ("s16", "fltp", ...), rate and channels."""

    sample_format: str
    sample_rate_hz: int
    channels: int

    @property
    def is_planar(self) -> bool:
        return self.sample_format.endswith("p")

    @property
    def value_format(self) -> str:
        return self.sample_format.removesuffix("p")

    @property
    def is_supported(self) -> bool:
        return self.value_format in _INTEGER_SCALES or self.value_format in _FLOATS


def mix_to_mono(values: npt.NDArray[Any], layout: FrameLayout) -> Samples:
    """Mean over channels of native values ([C, S] planar, [1, S * C] packed) -> float32 [S].

    Integers are scaled to [-1, 1). NaN and infinite floats pass through.
    """
    channels = values if layout.is_planar else values.reshape(-1, layout.channels).T
    # A cast to float32 may overflow to inf, and sums of inf give NaN: both are dealt with later.
    with np.errstate(over="ignore", invalid="ignore"):
        mono: Samples = channels[0].astype(np.float32)
        for channel in channels[1:]:
            mono += channel
        if layout.channels > 1:
            mono *= np.float32(1 / layout.channels)
    if layout.value_format == "u8":
        mono -= np.float32(_U8_ZERO)
    scale = _INTEGER_SCALES.get(layout.value_format)
    if scale is not None:
        mono *= np.float32(scale)
    return mono


def repair(mono: Samples) -> tuple[Samples, int]:
    """Samples made finite (silence) and bounded by MAX_ABS_SAMPLE, with the number not finite."""
    broken = 0
    finite = np.isfinite(mono)
    if not finite.all():
        broken = int(mono.size - np.count_nonzero(finite))
        mono = np.where(finite, mono, np.float32(0.0))
    return np.clip(mono, -MAX_ABS_SAMPLE, MAX_ABS_SAMPLE), broken


class PcmPipeline:
    """Native frames in, mono float32 at one rate out, in memory that does not grow.

    A change of rate, format or channels in mid-stream (chained ogg, spliced mp3) drains what is
    pending and goes on with a new resampler.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._out_rate_hz = sample_rate_hz
        self._layout: FrameLayout | None = None
        self._pending: list[npt.NDArray[Any]] = []
        self._pending_values = 0
        self._resampler: soxr.ResampleStream | None = None
        self.source_samples = 0
        self.source_duration_s = 0.0
        self.non_finite_samples = 0

    def push(self, values: npt.NDArray[Any], layout: FrameLayout) -> Iterator[Samples]:
        """Take one frame; yields blocks [T] as they are ready."""
        if layout != self._layout:
            yield from self.flush()
            self._layout = layout
        samples = values.size // layout.channels
        self.source_samples += samples
        self.source_duration_s += samples / layout.sample_rate_hz
        self._pending.append(values)
        self._pending_values += values.size
        if self._pending_values >= _BATCH_VALUES:
            yield self._convert(is_last=False)

    def flush(self) -> Iterator[Samples]:
        """Yields what is pending, and the resampler's tail."""
        if self._layout is None:
            return
        yield self._convert(is_last=True)
        self._resampler = None
        self._layout = None

    def _convert(self, *, is_last: bool) -> Samples:
        assert self._layout is not None
        layout = self._layout
        mono = np.empty(0, dtype=np.float32)
        if self._pending:
            mono = mix_to_mono(np.concatenate(self._pending, axis=1), layout)
        self._pending, self._pending_values = [], 0
        mono, broken = repair(mono)
        self.non_finite_samples += broken
        return self._resample(mono, layout.sample_rate_hz, is_last=is_last)

    def _resample(self, mono: Samples, in_rate_hz: int, *, is_last: bool) -> Samples:
        if in_rate_hz == self._out_rate_hz:
            return mono
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(
                in_rate_hz, self._out_rate_hz, 1, dtype="float32", quality="HQ"
            )
        # The filter rings at steps, so that its output may leave the bounds of its input.
        resampled: Samples = self._resampler.resample_chunk(mono, last=is_last)
        return np.clip(resampled, -MAX_ABS_SAMPLE, MAX_ABS_SAMPLE)
