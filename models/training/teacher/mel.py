"""The teacher's log-mel front end: 96 mel bins at 62.5 frames a second.

Legend: T samples, F frames, M mel bins.

librosa's `melspectrogram` as the package calls it (power spectrum, Hann window of 512 samples,
hop 256, centred with reflection, Slaney mels with area normalisation), then log10(1 + 10000 x).
Departure: the package rounds to float16 in between, which overflows on loud music; we do not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
MEL_BINS = 96
HOP_SAMPLES = 256
_FFT_SAMPLES = 512
_COMPRESSION = 10_000.0
# Slaney's scale: linear below 1 kHz (15 mels), logarithmic above it.
_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0


def log_mel(audio: Floats) -> Floats:
    """Log-mel frames [F, M] of mono samples [T] at 16 kHz; F = T // 256 + 1.

    ValueError where there is too little audio for the reflected edges.
    """
    if audio.ndim != 1 or len(audio) <= _FFT_SAMPLES // 2:
        raise ValueError(f"the teacher needs more than {_FFT_SAMPLES // 2} mono samples")
    padded = np.pad(audio, _FFT_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES]
    window, filters = _window(), mel_filters()
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    compressed: Floats = np.log10(_COMPRESSION * (power @ filters) + 1.0, dtype=np.float32)
    return compressed


@cache
def mel_filters() -> Floats:
    """Triangular filters [257, M], each of unit area over frequency."""
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, _FFT_SAMPLES // 2 + 1)
    top_mel = _BREAK_MEL + np.log(SAMPLE_RATE_HZ / 2 / _BREAK_HZ) / _LOG_STEP
    corners_hz = _mel_to_hz(np.linspace(0.0, top_mel, MEL_BINS + 2))
    rising = (bins_hz[:, None] - corners_hz[:-2]) / np.diff(corners_hz)[:-1]
    falling = (corners_hz[2:] - bins_hz[:, None]) / np.diff(corners_hz)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (corners_hz[2:] - corners_hz[:-2])).astype(np.float32)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mels * _LINEAR_HZ
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, linear, logarithmic)


@cache
def _window() -> Floats:
    """The periodic Hann window."""
    phase = 2.0 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
