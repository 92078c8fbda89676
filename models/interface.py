"""What a loaded music-text model offers, in numpy alone: the only thing that `service/` sees.

Legend: N items, T samples, E embedding width, R reference clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class TrackEmbedding:
    """A track's clip vectors [N, E] (unit norm), their plain mean [E], and each clip's seconds."""

    clips: Vectors
    mean: Vectors
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]


class MusicTextEncoder(Protocol):
    """A bundle in memory. Safe to call from one thread at a time."""

    @property
    def model_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def embed_dim(self) -> int: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def clip_s(self) -> float: ...
    @property
    def languages(self) -> tuple[str, ...]: ...
    @property
    def licence(self) -> str: ...
    @property
    def runtime(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def tag_templates(self) -> tuple[str, ...]:
        """Prompt templates for zero-shot tags; each holds `{label}`."""
        ...

    @property
    def reference(self) -> Vectors:
        """Unit vectors [R, E] of reference clips, R = 0 where the bundle has none."""
        ...

    def tag_probability(self, relevance: float) -> float | None:
        """Calibrated probability that a label fits, or None where the bundle is not calibrated."""
        ...

    def tag_probabilities(self, relevances: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The same for an array of any shape."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """[N, E], unit norm. A text embeds the same alone and in any batch."""
        ...

    def embed_clips(self, clips: Vectors) -> Vectors:
        """[N, T] samples of exactly one window each -> [N, E], unit norm; NaN is refused."""
        ...

    def embed_track(self, samples: Vectors) -> TrackEmbedding:
        """[T] samples of a whole track."""
        ...
