"""Vectors of music that does not exist, lying where the model puts real music.

Legend: T tracks, N clips, E embedding width, R reference clips.

A track is a mix of two of the bundle's reference clips, each of its clips lies near the track, and
all of them keep the direction that the model's embeddings have in common. So a text finds some
tracks much better than others, as in a real library, which no random directions would show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

COPY_EVERY = 50
"""Each of these tracks is another file of the one before it: the same music, the same names."""

_OWN_NOISE, _CLIP_NOISE, _COPY_NOISE = 0.25, 0.35, 0.002
_LEAST_CLIPS, _MOST_CLIPS = 2, 11
_TRACKS_AT_ONCE = 1_000


def is_copy(track: int) -> bool:
    """Whether this track (from 0) is a copy of the one before."""
    return track % COPY_EVERY == COPY_EVERY - 1


def clip_counts(count: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Clips of each track [T], six in the mean; a copy has as many as its original."""
    counts = chance.integers(_LEAST_CLIPS, _MOST_CLIPS, count)
    copies = np.arange(count) % COPY_EVERY == COPY_EVERY - 1
    counts[copies] = counts[np.flatnonzero(copies) - 1]
    return counts


def clip_vectors(
    reference: Vectors, counts: NDArray[np.int64], chance: np.random.Generator
) -> Iterator[tuple[int, Vectors]]:
    """(first track, clips [N, E] of the next thousand tracks), of unit norm."""
    middle = reference.mean(axis=0)
    around = reference - middle
    for first in range(0, len(counts), _TRACKS_AT_ONCE):
        some = counts[first : first + _TRACKS_AT_ONCE]
        share = chance.uniform(0.6, 1.0, (len(some), 1)).astype(np.float32)
        centres = share * _pick(around, len(some), chance)
        centres += (1 - share) * _pick(around, len(some), chance)
        centres += _OWN_NOISE * _pick(around, len(some), chance)
        clips = np.repeat(centres, some, axis=0)
        clips += _CLIP_NOISE * _pick(around, len(clips), chance)
        clips = middle + clips
        clips /= np.linalg.norm(clips, axis=1, keepdims=True)
        _copy_pairs(clips, first, some, chance)
        yield first, clips


def _pick(rows: Vectors, count: int, chance: np.random.Generator) -> Vectors:
    return rows[chance.integers(0, len(rows), count)]


def _copy_pairs(
    clips: Vectors, first: int, counts: NDArray[np.int64], chance: np.random.Generator
) -> None:
    starts: Any = np.cumsum(counts) - counts
    for place in range(1, len(counts)):
        if is_copy(first + place):
            own = slice(starts[place], starts[place] + counts[place])
            original = clips[starts[place - 1] : starts[place]]
            noise = chance.standard_normal(original.shape).astype(np.float32)
            copied = original + _COPY_NOISE * noise
            clips[own] = copied / np.linalg.norm(copied, axis=1, keepdims=True)
