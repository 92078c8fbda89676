"""Whether fine-tuning helped: the original and the tuned model on tracks that neither chose from.

Legend: N tracks, L labels, Q queries, E embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.training.metrics import (
    Bools,
    Floats,
    Interval,
    average_precision,
    bootstrap,
    r_precision,
    roc_auc,
)

Verdict = Literal["helped", "harmed", "no measurable difference"]
Metric = Callable[[Floats, Bools], float]
METRICS: dict[str, Metric] = {
    "roc_auc": roc_auc, "average_precision": average_precision, "r_precision": r_precision,
}  # fmt: skip
_VECTORS = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """A figure before and after, and their difference on the same resampled tracks.

    It is the mean over `labels` labels, judged by `tracks` tracks that say anything of them.
    """

    name: str
    before: Interval
    after: Interval
    difference: Interval
    labels: int
    tracks: int

    @property
    def verdict(self) -> Verdict:
        """What the interval of the difference says."""
        if self.difference.low > 0:
            return "helped"
        return "harmed" if self.difference.high < 0 else "no measurable difference"


@dataclass(frozen=True)
class GeneralAbility:
    """How far the model is from what it was, on held-out tracks; 1 (0 for texts) is unchanged.

    `clip_cosine`: mean cosine of a track's vector to its former one. `ranking`: mean rank
    correlation, over general queries, of the tracks' scores. `neighbours`: rank correlation of the
    tracks' likeness to each other. `text_difference`: the largest change in a text's vector.
    """

    clip_cosine: float
    ranking: float
    neighbours: float
    text_difference: float


def compare(
    before: Mapping[str, Floats],
    after: Mapping[str, Floats],
    truths: Mapping[str, Bools],
    known: Mapping[str, Bools],
    groups: Sequence[str],
    draws: int = 1000,
) -> list[Comparison]:
    """Compare scores [N, L] of every kind of label, and of all kinds' labels together first.

    `known` [N] says of each kind which tracks have any label of it: the others are not known to
    lack one, and are left out of that kind. Whole groups are resampled, the same for both models,
    so that the difference has an interval of its own, which is narrower than theirs.
    """
    kinds = {"all labels": tuple(truths)} | {kind: (kind,) for kind in truths}
    if len(truths) == 1:
        del kinds["all labels"]
    comparisons = []
    for name, chosen in kinds.items():
        old, new = (np.concatenate([s[k] for k in chosen], axis=1) for s in (before, after))
        right = np.concatenate([truths[k] for k in chosen], axis=1)
        told = [np.repeat(known[k][:, None], truths[k].shape[1], axis=1) for k in chosen]
        judged = _Judged(right, np.concatenate(told, axis=1))
        for metric, function in METRICS.items():
            chance = 0.5 if metric == "roc_auc" else judged.share
            figure = f"{name} {metric}"
            comparisons.append(_compare(figure, function, judged, old, new, groups, chance, draws))
    return comparisons


def general_ability(
    before: _VECTORS, after: _VECTORS, queries: _VECTORS, text_difference: float
) -> GeneralAbility:
    """Measure how far tracks [N, E] moved, by themselves, for queries [Q, E], and to each other."""
    unit_before, unit_after = (_unit(vectors) for vectors in (before, after))
    old, new = queries @ before.T, queries @ after.T
    upper = np.triu_indices(len(before), 1)
    likeness = [(vectors @ vectors.T)[upper] for vectors in (unit_before, unit_after)]
    return GeneralAbility(
        clip_cosine=float((unit_before * unit_after).sum(axis=1).mean()),
        ranking=float(np.mean([_rank_correlation(a, b) for a, b in zip(old, new, strict=True)])),
        neighbours=_rank_correlation(*likeness),
        text_difference=text_difference,
    )


@dataclass(frozen=True)
class _Judged:
    """Which labels are right, and for which tracks that is known, both [N, L]."""

    right: Bools
    known: Bools

    @property
    def share(self) -> float:
        """The mean share of known tracks for which a label is right."""
        return float((self.right.sum(axis=0) / self.known.sum(axis=0)).mean())

    def mean(self, metric: Metric, scores: Floats, items: NDArray[np.int64]) -> float:
        """A metric's mean over labels, on these tracks; NaN where it is defined for none."""
        values = []
        for label in range(scores.shape[1]):
            chosen = items[self.known[items, label]]
            values.append(metric(scores[chosen, label], self.right[chosen, label]))
        defined = [value for value in values if not np.isnan(value)]
        return float(np.mean(defined)) if defined else float("nan")


def _compare(
    name: str,
    metric: Metric,
    judged: _Judged,
    old: Floats,
    new: Floats,
    groups: Sequence[str],
    chance: float,
    draws: int,
) -> Comparison:
    def before(items: NDArray[np.int64]) -> float:
        return judged.mean(metric, old, items)

    def after(items: NDArray[np.int64]) -> float:
        return judged.mean(metric, new, items)

    return Comparison(
        name,
        bootstrap(before, groups, chance, draws),
        bootstrap(after, groups, chance, draws),
        bootstrap(lambda items: after(items) - before(items), groups, 0.0, draws),
        labels=judged.right.shape[1],
        tracks=int(judged.known.any(axis=1).sum()),
    )


def _unit(vectors: _VECTORS) -> _VECTORS:
    unit: _VECTORS = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; of continuous scores, so that ties need no care."""
    if len(one) < 2:
        return float("nan")
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (one, other)])
    matrix = np.asarray(np.corrcoef(ranks.astype(np.float64)))
    return float(matrix[0, 1])
