"""Ranking metrics in numpy, and their bootstrap intervals.

Legend: N items, Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval, and what a random ranking would score."""

    value: float
    low: float
    high: float
    chance: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class RetrievalScores:
    """Recall at k (by k), mean reciprocal rank and median rank; ranks start at 1."""

    recall: dict[int, float]
    mrr: float
    median_rank: float


def roc_auc(scores: Floats, relevant: Bools) -> float:
    """Return the chance that a relevant item outranks another [N]; ties count a half.

    NaN where all items or none are relevant.
    """
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = _average_ranks(scores)
    above = ranks[relevant].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(scores: Floats, relevant: Bools) -> float:
    """Return the mean precision at each relevant item's place [N]; NaN where there is none."""
    if not relevant.any():
        return float("nan")
    ordered = relevant[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(precision[ordered].mean())


def r_precision(scores: Floats, relevant: Bools) -> float:
    """Return the share of relevant items among the first R, R being how many there are [N]."""
    count = int(relevant.sum())
    if not count:
        return float("nan")
    first = np.argsort(-scores, kind="stable")[:count]
    return float(relevant[first].mean())


def macro(metric: Callable[[Floats, Bools], float], scores: Floats, relevant: Bools) -> float:
    """Average a metric over the classes of [N, C] for which it is defined."""
    values = [metric(scores[:, c], relevant[:, c]) for c in range(scores.shape[1])]
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def retrieval_ranks(similarity: Floats, relevant: Bools) -> NDArray[np.int64]:
    """Return for each query [Q, N] the rank of its best relevant item, 1 being first.

    Items that tie with it are counted as ahead, so that a constant score earns nothing. Queries
    without a relevant item get rank N + 1.
    """
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    ahead = ((similarity >= best) & ~relevant).sum(axis=1) + 1
    ranks: NDArray[np.int64] = np.where(relevant.any(axis=1), ahead, similarity.shape[1] + 1)
    return ranks


def retrieval_scores(ranks: NDArray[np.int64], ks: Sequence[int] = (1, 5, 10)) -> RetrievalScores:
    """Summarise ranks [Q]."""
    return RetrievalScores(
        recall={k: float((ranks <= k).mean()) for k in ks},
        mrr=float((1.0 / ranks).mean()),
        median_rank=float(np.median(ranks)),
    )


def chance_of_recall(relevant: Bools, k: int) -> float:
    """Return how often a random order has a relevant item [Q, N] among the first k."""
    items = relevant.shape[1]
    return float(np.mean([chance_of_recall_of(int(r), items, k) for r in relevant.sum(axis=1)]))


def chance_of_recall_of(right: int, items: int, k: int) -> float:
    """Return how often a random order has one of `right` items among the first k; exact."""
    return float(1 - _missed_so_far(right, items)[min(k, items)])


def chance_of_reciprocal_rank(right: int, items: int) -> float:
    """Return the mean reciprocal rank of the first of `right` items in a random order; exact."""
    missed = _missed_so_far(right, items)
    first_here = missed[:-1] - missed[1:]
    return float((first_here / np.arange(1, items + 1)).sum())


def _missed_so_far(right: int, items: int) -> NDArray[np.float64]:
    """The chance that none of `right` items is among the first k, for k = 0..items."""
    left = items - np.arange(items)
    missed = np.ones(items + 1, dtype=np.float64)
    np.cumprod(np.maximum(left - right, 0) / left, out=missed[1:])
    return missed


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: Sequence[str],
    chance: float,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a statistic of item indices with its 95 % interval, resampling whole groups.

    Items of one group (clips of a track, tracks of a package) are not independent, so groups are
    drawn, with replacement, not items. Draws where the statistic is undefined are left out.
    """
    names = sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        value = statistic(np.concatenate([members[i] for i in chosen]))
        if not np.isnan(value):
            values.append(value)
    low, high = np.quantile(values, [0.025, 0.975]) if values else (np.nan, np.nan)
    return Interval(statistic(np.arange(len(groups))), float(low), float(high), chance)


def _average_ranks(values: Floats) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2.0)[inverse]
