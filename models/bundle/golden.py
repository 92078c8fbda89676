"""Golden vectors: what a bundle computed when it was saved, for inputs that anybody can remake.

Legend: T samples, K texts, E embedding width.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleFormatError

Vectors = NDArray[np.float32]

GOLDEN_TEXTS = (
    "calm solo piano",
    "aggressive heavy metal with distorted electric guitars and fast drums",
    "a choir sings slowly in a large church",
    "techno",
)
# Four chords of a song, a second and a quarter each, in hertz.
_CHORDS_HZ = (
    (130.8, 164.8, 196.0, 261.6),
    (110.0, 220.0, 261.6, 329.6),
    (87.3, 174.6, 220.0, 349.2),
    (98.0, 196.0, 246.9, 392.0),
)
_CHORD_S = 1.25
_BEAT_S = 0.5


@dataclass(frozen=True)
class Golden:
    """The vectors [1, E] of the golden clip and [K, E] of the texts, with the texts themselves."""

    clips: Vectors
    texts: tuple[str, ...]
    text_vectors: Vectors


def golden_clip(samples: int, sample_rate_hz: int) -> Vectors:
    """A synthetic clip [T]: plucked chords over a beat of noise, peak below 1.

    Plain arithmetic without a random generator, so that it is the same everywhere and for ever;
    bundles hold the vectors of exactly this signal.
    """
    time_s = np.arange(samples) / sample_rate_hz
    since_chord_s = time_s % _CHORD_S
    chord = (time_s // _CHORD_S).astype(int) % len(_CHORDS_HZ)
    tones = np.zeros(samples)
    for voice in range(len(_CHORDS_HZ[0])):
        frequency_hz = np.asarray([notes[voice] for notes in _CHORDS_HZ])[chord]
        for partial in (1, 2, 3):
            phase = 2 * np.pi * partial * frequency_hz * since_chord_s
            tones += np.sin(phase) * np.exp(-3 * partial * since_chord_s) / partial
    beat = _noise(samples) * np.exp(-30 * (time_s % _BEAT_S))
    return (0.08 * tones + 0.2 * beat).astype(np.float32)


def _noise(samples: int) -> NDArray[np.float64]:
    """Values in [-1, 1) from the high bits of an integer hash of their index."""
    index = np.arange(samples, dtype=np.uint64)
    mixed = (index * np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def golden_to_bytes(golden: Golden) -> bytes:
    """`golden.npz` as stored."""
    target = io.BytesIO()
    np.savez(
        target,
        clips=golden.clips,
        texts=np.asarray(golden.texts),
        text_vectors=golden.text_vectors,
    )
    return target.getvalue()


def golden_from_bytes(content: bytes) -> Golden:
    """Parse `golden.npz`; BundleFormatError where it is not one. Nothing is unpickled."""
    arrays = load_arrays(content, "golden.npz", ("clips", "texts", "text_vectors"))
    if arrays["texts"].dtype.kind != "U":
        raise BundleFormatError("golden.npz has no texts")
    return Golden(
        clips=arrays["clips"].astype(np.float32),
        texts=tuple(str(text) for text in arrays["texts"]),
        text_vectors=arrays["text_vectors"].astype(np.float32),
    )


def load_arrays(content: bytes, name: str, keys: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """The named arrays of an npz file, without pickle; BundleFormatError where that fails."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {key: stored[key] for key in keys}
    except Exception as error:
        # numpy and zipfile raise many classes for a damaged or hostile archive.
        raise BundleFormatError(f"{name} cannot be read: {error}") from error
