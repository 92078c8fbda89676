"""Figures of rankings that several measurements share.

Legend: T tracks, Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def best(scores: Floats, count: int = 10) -> NDArray[np.int64]:
    """The tracks [count] with the highest of scores [T], in order; ties by number."""
    order: NDArray[np.int64] = np.argsort(-scores, kind="stable")[:count]
    return order


def average_precision(scores: Floats, relevant: Bools) -> float:
    """Mean precision at each relevant track of a ranking by scores [T]."""
    hits = relevant[best(scores, len(scores))]
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precisions[hits].mean())


def roc_auc(scores: Floats, relevant: Bools) -> float:
    """The chance that a relevant track scores above another; ties count half."""
    above = scores[relevant][:, np.newaxis] - scores[~relevant][np.newaxis]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def reciprocal_rank(order: Sequence[int], relevant: frozenset[int]) -> float:
    """One over the rank of the first relevant track; 0 where there is none."""
    return next((1 / rank for rank, item in enumerate(order, 1) if item in relevant), 0.0)


def found_in_ten(order: Sequence[int], relevant: frozenset[int]) -> float:
    """The share of relevant tracks (of ten at most) among the first ten."""
    hits = sum(item in relevant for item in order[:10])
    return hits / min(10, len(relevant))


def interval(values: Floats, *, draws: int = 2_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of values [Q]."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three digits."""
    cells = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows
    ]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
