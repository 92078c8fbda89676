"""Ranking metrics of many resamples at once: every item counts as often as it was drawn.

A bootstrap that sorts each resample anew takes minutes; with counts it takes one sort a label. The
figures are those of `models.training.metrics` on the resample written out.
Legend: D draws, N items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.training.metrics import Bools, Floats

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def weighted_roc_auc(scores: Floats, relevant: Bools, counts: Counts) -> Values:
    """ROC-AUC [D] of scores [N] with items counted [D, N] times; NaN where one kind is missing."""
    above = scores[relevant][:, None] - scores[~relevant][None]
    wins = (above > 0) + 0.5 * (above == 0)
    positives, negatives = counts[:, relevant], counts[:, ~relevant]
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    won = ((positives @ wins) * negatives).sum(axis=1)
    return _divide(won, pairs)


def weighted_average_precision(scores: Floats, relevant: Bools, counts: Counts) -> Values:
    """Average precision [D]; an item drawn w times takes w places in a row."""
    order = np.argsort(-scores, kind="stable")
    drawn, right = counts[:, order], relevant[order]
    hits = drawn * right
    places_before = np.cumsum(drawn, axis=1) - drawn
    hits_before = np.cumsum(hits, axis=1) - hits
    # The sum of (hits + k) / (places + k) over k = 1..w is w + (hits - places) (H(p + w) - H(p)).
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, drawn.sum(axis=1).max() + 2))])
    stretch = harmonic[places_before + drawn] - harmonic[places_before]
    precision = (drawn + (hits_before - places_before) * stretch) * right
    return _divide(precision.sum(axis=1), hits.sum(axis=1))


def weighted_r_precision(scores: Floats, relevant: Bools, counts: Counts) -> Values:
    """Share of relevant items [D] among the first R places, R being how many there are."""
    order = np.argsort(-scores, kind="stable")
    drawn, right = counts[:, order], relevant[order]
    wanted = (drawn * right).sum(axis=1)
    places_before = np.cumsum(drawn, axis=1) - drawn
    taken = np.clip(wanted[:, None] - places_before, 0, drawn)
    return _divide((taken * right).sum(axis=1), wanted)


def weighted_mean(values: NDArray[np.generic], counts: Counts) -> Values:
    """Mean [D] of values [N]."""
    return _divide(counts @ values.astype(np.float64), counts.sum(axis=1))


def _divide(above: NDArray[np.generic], below: NDArray[np.generic]) -> Values:
    parts = np.asarray(below, dtype=np.float64)
    known = parts > 0
    return np.where(known, np.asarray(above, dtype=np.float64) / np.where(known, parts, 1), np.nan)
