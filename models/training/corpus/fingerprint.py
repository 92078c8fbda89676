"""Coarse acoustic fingerprints: does one file sound like another, whatever its name and codec?

Shape legend: F frames of half a second, M mel-like bands.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.corpus.audio import Samples, decode_mono

SAMPLE_RATE_HZ = 8_000
_FRAME = 4_000
_BANDS = 14
LONGEST_S = 120

# Two recordings of one piece correlate above this; two pieces of one album stay below.
SAME_PIECE = 0.85

Fingerprint = NDArray[np.float32]


def fingerprint_file(source: Path | bytes) -> Fingerprint:
    """Decode a file and fingerprint its first two minutes: float32 [F, M]."""
    return fingerprint(decode_mono(source, SAMPLE_RATE_HZ))


def fingerprint(samples: Samples) -> Fingerprint:
    """Fingerprint mono samples at 8 kHz: log band energies, less each band's mean, [F, M]."""
    frames = min(len(samples) // _FRAME, 2 * LONGEST_S)
    blocks = samples[: frames * _FRAME].reshape(frames, _FRAME) * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(blocks, axis=1)) ** 2
    edges = np.geomspace(60.0, 3_600.0, _BANDS + 1) * _FRAME / SAMPLE_RATE_HZ
    bands = np.stack(
        [
            power[:, int(low) : max(int(low) + 1, int(high))].sum(axis=1)
            for low, high in itertools.pairwise(edges)
        ],
        axis=1,
    )
    logs = np.log10(bands + 1e-6)
    # A band's own level is the mix's colour; what moves in it is the piece.
    return np.asarray(logs - logs.mean(axis=0, keepdims=True), dtype=np.float32)


def similarity(one: Fingerprint, other: Fingerprint, shift_frames: int = 4) -> float:
    """Return the best correlation of two fingerprints over small shifts; at most 1."""
    best = -1.0
    for shift in range(-shift_frames, shift_frames + 1):
        left, right = one[max(0, shift) :], other[max(0, -shift) :]
        frames = min(len(left), len(right))
        if frames < 40:
            continue
        a, b = left[:frames].ravel(), right[:frames].ravel()
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        if norm > 0:
            best = max(best, float(a @ b) / norm)
    return best
