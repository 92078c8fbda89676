"""Whether probabilities of labels mean what they say: a reliability table of the calibration.

Legend: L labels, n pairs of label and track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.relevance import relevance_scale
from models.training.evaluate import list_labels, relevance
from models.training.evaluation.scorers import BundleScorer
from models.training.manifest import ManifestEntry

BINS = 8


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose probabilities lie together: how many, what was said, what was true."""

    pairs: int
    probability: float
    share_true: float


@dataclass(frozen=True)
class Reliability:
    """Bins of equal numbers of pairs; `expected_error` is their weighted mean distance.

    `brier` is the mean squared error, `brier_of_base_rate` that of always saying the base rate.
    """

    pairs: int
    base_rate: float
    expected_error: float
    brier: float
    brier_of_base_rate: float
    bins: tuple[ReliabilityBin, ...]


def measure_reliability(
    scorer: BundleScorer, entries: Sequence[ManifestEntry], kinds: Sequence[str]
) -> Reliability | None:
    """Compare every label's probability on every track of its kind with the truth.

    None where the bundle is not calibrated, or no kind has two labels.
    """
    said: list[float] = []
    true: list[bool] = []
    for kind in kinds:
        judged = [entry for entry in entries if entry.tags.get(kind)]
        labels = list_labels(judged, kind)
        truth = relevance(judged, kind, labels) if labels else np.empty((0, 0), dtype=bool)
        vectors = scorer.tracks.of(judged) if judged else np.empty((0, 0), dtype=np.float32)
        for place, label in enumerate(labels):
            probabilities = label_probabilities(scorer, label, vectors)
            if probabilities is None:
                return None
            said += probabilities
            true += truth[:, place].tolist()
    return summarise(np.asarray(said), np.asarray(true)) if said else None


def label_probabilities(
    scorer: BundleScorer, label: str, vectors: NDArray[np.float32]
) -> list[float] | None:
    """Probabilities that a label fits tracks [N, E], as serving works them out."""
    encoder = scorer.encoder
    if not len(encoder.reference):
        return None
    templates = encoder.tag_templates or ("{label}",)
    query = scorer.query_vectors([[t.replace("{label}", label) for t in templates]])[0]
    scale = relevance_scale(query, encoder.reference)
    found = [encoder.tag_probability(float(r)) for r in scale.relevances_of(vectors @ query)]
    known = [probability for probability in found if probability is not None]
    return known if len(known) == len(found) else None


def summarise(said: NDArray[np.float64], true: NDArray[np.bool_]) -> Reliability:
    """Lay pairs [n] of a probability and the truth into bins of equal numbers."""
    order = np.argsort(said, kind="stable")
    bins = [
        ReliabilityBin(len(part), float(said[part].mean()), float(true[part].mean()))
        for part in np.array_split(order, min(BINS, len(order)))
    ]
    base = float(true.mean())
    return Reliability(
        pairs=len(said),
        base_rate=base,
        expected_error=sum(b.pairs * abs(b.probability - b.share_true) for b in bins) / len(said),
        brier=float(np.mean((said - true) ** 2)),
        brier_of_base_rate=float(np.mean((base - true) ** 2)),
        bins=tuple(bins),
    )
