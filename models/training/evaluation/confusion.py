"""Which label is heard where another is documented: the mistakes that are made most.

Scores of two labels cannot be compared as they are; each label's scores are ranked among the
reference clips of the bundle first, as serving does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.relevance import relevance_scale
from models.training.evaluate import PROMPTS, list_labels, relevance
from models.training.evaluation.scorers import BundleScorer
from models.training.manifest import ManifestEntry


@dataclass(frozen=True)
class Confusion:
    """Of `tracks` that carry `documented` (and not `heard`), `times` were heard as `heard`."""

    documented: str
    heard: str
    times: int
    tracks: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ConfusionTable:
    """Rows are documented labels, columns what was most relevant; worst mistakes first."""

    kind: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    worst: tuple[Confusion, ...]
    first_is_right: float


def measure_confusion(
    scorer: BundleScorer, entries: Sequence[ManifestEntry], kind: str
) -> ConfusionTable | None:
    """Count, for each track, the label of highest relevance against the labels it carries.

    None with fewer than two labels, or without reference clips.
    """
    judged = [entry for entry in entries if entry.tags.get(kind)]
    labels = list_labels(judged, kind)
    if len(labels) < 2 or not len(scorer.encoder.reference):
        return None
    truth = relevance(judged, kind, labels)
    queries = scorer.query_vectors([[p.format(label=label) for p in PROMPTS] for label in labels])
    vectors = scorer.tracks.of(judged)
    ranked = np.stack(
        [relevance_scale(q, scorer.encoder.reference).relevances_of(vectors @ q) for q in queries],
        axis=1,
    )
    # Tracks that carry none of these labels (only rare ones) cannot be confused among them.
    known = np.flatnonzero(truth.any(axis=1))
    heard = ranked.argmax(axis=1)
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for track in known:
        right = bool(truth[track, heard[track]])
        for label in np.flatnonzero(truth[track]):
            counts[label, label if right else heard[track]] += 1
    return ConfusionTable(
        kind=kind,
        labels=tuple(labels),
        counts=tuple(tuple(int(n) for n in row) for row in counts),
        worst=_worst(labels, counts, truth, heard, judged),
        first_is_right=float(np.mean([truth[t, heard[t]] for t in known])),
    )


def _worst(
    labels: Sequence[str],
    counts: np.ndarray,
    truth: np.ndarray,
    heard: np.ndarray,
    judged: Sequence[ManifestEntry],
    most: int = 10,
) -> tuple[Confusion, ...]:
    found = []
    for row, column in np.argwhere(counts > 0):
        if row == column:
            continue
        at = [e.id for e, t, h in zip(judged, truth, heard, strict=True) if t[row] and h == column]
        carrying = int(truth[:, row].sum())
        found.append(
            Confusion(
                labels[row], labels[column], int(counts[row, column]), carrying, tuple(at[:3])
            )
        )
    found.sort(key=lambda c: (-c.times, -c.times / c.tracks, c.documented))
    return tuple(found[:most])
