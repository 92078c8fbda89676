"""From raw scores, which mean nothing to a person, to relevance: a rank among reference music.

Legend: E embedding width, R reference clips, H hits.

The raw score of a two-tower model is high for one sentence and low for another whatever they hit.
The same query scored against a few thousand reference clips gives a yardstick of its own: the
relevance of a hit is the share of reference music that this query likes less, 0 to 1. A threshold
on it means the same for every query.

With R sorted reference scores, score number i (from 1) has relevance i / (R + 1); between two of
them it is interpolated. Beyond the largest, where a good hit belongs, ranks would all be equal, so
the tail goes on smoothly: the remaining 1 / (R + 1) shrinks exponentially with the score's distance
past the largest, at the rate of the highest reference scores (their mean excess over the lowest of
them). Below the smallest it does the same. Relevance is therefore strictly increasing in the score
as far as float64 tells numbers apart, and never needs a reference larger than the file carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# The share of the reference, and the fewest clips, whose scores give a tail its rate.
TAIL_SHARE = 0.05
TAIL_MIN_CLIPS = 8
# Where all reference scores are equal there is no rate to measure: a thousandth of a cosine.
SMALLEST_TAIL_SCALE = 1e-3


@dataclass(frozen=True)
class RelevanceScale:
    """The yardstick of one query: distinct sorted reference scores and the relevance of each."""

    scores: Floats
    relevances: Floats
    upper_tail_scale: float
    lower_tail_scale: float

    def relevance(self, score: float) -> float:
        """The relevance of one raw score, by bisection: O(log R)."""
        return float(self.relevances_of(np.asarray([score]))[0])

    def relevances_of(self, scores: ArrayLike) -> Floats:
        """The relevance [H] of raw scores [H], each strictly between 0 and 1 but for rounding."""
        wanted = np.asarray(scores, dtype=np.float64)
        result = np.interp(wanted, self.scores, self.relevances)
        above = wanted > self.scores[-1]
        excess = (wanted[above] - self.scores[-1]) / self.upper_tail_scale
        result[above] = 1.0 - (1.0 - self.relevances[-1]) * np.exp(-excess)
        below = wanted < self.scores[0]
        deficit = (self.scores[0] - wanted[below]) / self.lower_tail_scale
        result[below] = self.relevances[0] * np.exp(-deficit)
        return result


def relevance_scale(query: NDArray[np.float32], reference: NDArray[np.float32]) -> RelevanceScale:
    """The yardstick of a query vector [E] over reference vectors [R, E]; one product and one sort.

    The query need not have unit norm: a mix of parts is scored as it is searched.
    Raises ValueError for an empty reference.
    """
    return scale_from_scores(reference @ query)


def scale_from_scores(reference_scores: ArrayLike) -> RelevanceScale:
    """The yardstick over reference scores [R] in any order; equal scores share their mean rank."""
    ordered = np.sort(np.asarray(reference_scores, dtype=np.float64))
    if ordered.size == 0:
        raise ValueError("relevance needs at least one reference clip")
    ranks = np.arange(1, ordered.size + 1) / (ordered.size + 1)
    distinct, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    return RelevanceScale(
        scores=distinct,
        relevances=ranks[first] + (counts - 1) / (2 * (ordered.size + 1)),
        upper_tail_scale=_mean_excess(ordered),
        lower_tail_scale=_mean_excess(-ordered[::-1]),
    )


def _mean_excess(ordered: Floats) -> float:
    """Mean distance of the highest scores over the lowest of them: an exponential tail's scale."""
    count = min(ordered.size, max(TAIL_MIN_CLIPS, round(TAIL_SHARE * ordered.size)))
    highest = ordered[-count:]
    return max(float(np.mean(highest - highest[0])), SMALLEST_TAIL_SCALE)
