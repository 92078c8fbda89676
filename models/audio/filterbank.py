"""Triangular mel filters on the HTK scale, shared by the torch and the numpy front end.

The corner frequencies are rounded to float32 where the published front end rounds them: near 12 kHz
that moves a corner by a thousandth of a hertz, which is worth 0.002 dB at a filter's foot, more
than the agreement that is promised.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.networks.config import MelConfig

Floats = NDArray[np.float32]


def hz_to_mel(frequency_hz: float) -> float:
    """HTK mel value of a frequency."""
    return 2595.0 * math.log10(1.0 + frequency_hz / 700.0)


def mel_filterbank(config: MelConfig) -> Floats:
    """Filter weights [fft_samples // 2 + 1, M] from 0 Hz to the Nyquist frequency, peak 1.

    The filters of torchaudio's default `MelSpectrogram` (no area normalisation); for the published
    128 of them, to the bit.
    """
    bins_hz = _spaced(config.sample_rate_hz // 2, config.fft_samples // 2 + 1)
    corners_hz: Floats = _corners_hz(config)
    widths_hz = np.diff(corners_hz)
    rising = (bins_hz[:, None] - corners_hz[None, :-2]) / widths_hz[:-1]
    falling = (corners_hz[None, 2:] - bins_hz[:, None]) / widths_hz[1:]
    filters: Floats = np.maximum(np.float32(0.0), np.minimum(rising, falling))
    return filters


def mel_frequencies_hz(config: MelConfig) -> Floats:
    """The frequency at which each filter peaks [M], in hertz."""
    peaks_hz: Floats = _corners_hz(config)[1:-1]
    return peaks_hz


def _corners_hz(config: MelConfig) -> Floats:
    """Where filters begin, peak and end [M + 2]: each begins where the one before it peaks."""
    one, seven_hundred = np.float32(1.0), np.float32(700.0)
    nyquist_hz = config.sample_rate_hz // 2
    exponents = _spaced(hz_to_mel(nyquist_hz), config.mel_bins + 2) / np.float32(2595.0)
    powers = np.power(10.0, exponents.astype(np.float64)).astype(np.float32)
    corners_hz: Floats = seven_hundred * (powers - one)
    return corners_hz


def _spaced(end: float, count: int) -> Floats:
    """`count` values from 0 to `end`, counted from the nearer end and rounded once, as torch's."""
    last = float(np.float32(end))
    step = float(np.float32(end) / np.float32(count - 1))
    index = np.arange(count)
    from_start, from_end = step * index, last - step * (count - 1 - index)
    return np.where(index < count // 2, from_start, from_end).astype(np.float32)
