"""The teacher used as a text search engine: a baseline, and a target for distillation.

Legend: Q queries, C clips, K tags, A anchors, E text embedding width.

A query is a weighting of the teacher's tags (`reading`); a clip is the teacher's logits, each tag
set against its own mean and spread over a reference set, because a tag's logits say how common the
tag was in its own training data. Both vocabularies stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHARPNESS = 30.0
_LEAST_SPREAD = 1e-3
# How the tags that are no plain English are read to a text encoder.
_SPOKEN = {"00s": "2000s", "60s": "1960s", "70s": "1970s", "80s": "1980s", "90s": "1990s"}
_SPOKEN |= {"rnb": "R&B", "House": "house music"}


@dataclass(frozen=True)
class TagStatistics:
    """Mean and standard deviation of every tag's logits [K] over a reference set of clips."""

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, logits: Floats) -> TagStatistics:
        """The statistics of logits [C, K]; ValueError with fewer than two clips."""
        if len(logits) < 2:
            raise ValueError("tag statistics need at least two clips")
        return cls(logits.mean(axis=0), np.maximum(logits.std(axis=0), _LEAST_SPREAD))

    def standardise(self, logits: Floats) -> Floats:
        """Logits [C, K] as multiples of each tag's spread."""
        return np.asarray((logits - self.mean) / self.spread, dtype=np.float32)


def spoken_tags(tags: tuple[str, ...]) -> list[str]:
    """The tags as a text encoder should read them."""
    return [_SPOKEN.get(tag, tag) for tag in tags]


def likeness(query_vectors: Floats, anchor_vectors: Floats) -> Floats:
    """Shares [Q, A] of anchors in each query, from text vectors [Q, E] and [A, E]; rows sum to 1.

    Vectors of any length are accepted; only their directions count.
    """
    logits = SHARPNESS * (_unit(query_vectors) @ _unit(anchor_vectors).T)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
