"""What a vector scores under a query of several weighted parts.

Legend: E embedding width, N vectors, P parts, R reference clips.

A part is a unit vector u with a weight w. Similarities of texts and of audio spread differently,
so each part is measured by its own spread s over the bundle's reference music, around its mean m:

    score(x) = k * ( sum over wanted parts   |w| / s * <u, x>
                   - sum over unwanted parts |w| / s * max(0, <u, x> - m) )

k makes the wanted parts' sum a unit vector, so that a lone part scores as its cosine. An unwanted
part takes away from what resembles it more than reference music does, and gives nothing for being
unlike it: plain subtraction of vectors rewards that, and so ends far from what was wanted. Where
every part is unwanted, their negated sum is searched. Why so: docs/ranking.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.interface import Vectors
from models.relevance import RelevanceScale, scale_from_scores
from service.search.mixing import SMALLEST_NORM, WeightedVector, mix, unit

Floats = NDArray[np.float64]

SMALLEST_SPREAD = 0.02
"""Of a part that reference music hardly differs in: dividing by less would let it decide alone."""
PROPOSED_SHARE = 0.5
"""How much of the unwanted parts an index is told to avoid; the score stays exact at any value."""


@dataclass(frozen=True)
class PartShare:
    """What one part says of one vector: its own cosine, relevance, and share of the score."""

    index: int
    score: float
    relevance: float | None
    contribution: float


class Scorer:
    """Scores vectors; raises PartsCancelOut where the parts leave no direction.

    Without reference music (R = 0) every spread counts as 1 and every mean as 0.
    """

    def __init__(self, parts: Sequence[WeightedVector], reference: Vectors) -> None:
        mix(parts)  # what cancels out in plain vectors is no query, whatever the spreads
        self._units = np.stack([unit(part.vector) for part in parts]).astype(np.float64)
        weights = np.array([part.weight for part in parts])
        self._measured = reference.astype(np.float64) @ self._units.T  # [R, P]
        means, spreads = _spreads(self._measured, len(parts))
        wanted = weights > 0 if (weights > 0).any() else np.ones(len(parts), dtype=bool)
        shares = np.where(wanted, weights, np.abs(weights)) / spreads
        total = shares[wanted] @ self._units[wanted]
        norm = float(np.linalg.norm(total))
        self._query = unit(total.astype(np.float32)).astype(np.float64)
        self._wanted, self._shares, self._means = wanted, shares / norm, means
        self._scales: dict[int, RelevanceScale] = {}
        self._scale = None if len(reference) == 0 else scale_from_scores(self.score(reference))
        self._propose()

    def score(self, vectors: NDArray[np.floating]) -> Floats:
        """[N, E] -> [N]; the same for a vector alone and among others."""
        total: Floats = _dot(vectors, self._query)
        for index in np.flatnonzero(~self._wanted):
            total -= self._penalty(int(index), _dot(vectors, self._units[index]))
        return total

    @property
    def proposal(self) -> Vectors:
        """The unit vector [E] to ask an index for."""
        return self._proposal

    def bound(self, index_score: float) -> float:
        """The most that a vector with this score against the proposal can score.

        Holds because an unwanted part takes nothing, or the whole of its linear share: at least
        any part of that.
        """
        return self._bound_slope * index_score + self._bound_shift

    def relevance(self, score: float) -> float | None:
        """The rank of a score among the reference music's; None without reference music."""
        return None if self._scale is None else self._scale.relevance(score)

    def admits(self, score: float, min_relevance: float | None) -> bool:
        if min_relevance is None:
            return True
        relevance = self.relevance(score)
        return relevance is None or relevance >= min_relevance

    def explain(self, vector: NDArray[np.floating]) -> list[PartShare]:
        """The parts' shares of the score of one vector [E]; their contributions add up to it."""
        cosines = [float(_dot(vector[np.newaxis], row)[0]) for row in self._units]
        return [
            PartShare(
                index, cosine, self._part_relevance(index, cosine), self._share(index, cosine)
            )
            for index, cosine in enumerate(cosines)
        ]

    def _share(self, index: int, cosine: float) -> float:
        if self._wanted[index]:
            return float(self._shares[index]) * cosine
        return -float(self._penalty(index, np.array([cosine]))[0])

    def _penalty(self, index: int, cosines: Floats) -> Floats:
        above: Floats = np.maximum(0.0, cosines - self._means[index])
        return above * float(self._shares[index])

    def _part_relevance(self, index: int, cosine: float) -> float | None:
        if len(self._measured) == 0:
            return None
        if index not in self._scales:
            self._scales[index] = scale_from_scores(self._measured[:, index])
        return self._scales[index].relevance(cosine)

    def _propose(self) -> None:
        unwanted = self._shares * ~self._wanted * PROPOSED_SHARE
        direction = self._query - unwanted @ self._units
        norm = float(np.linalg.norm(direction))
        if norm < SMALLEST_NORM:
            direction, norm, unwanted = self._query, 1.0, np.zeros_like(unwanted)
        self._proposal: Vectors = (direction / norm).astype(np.float32)
        self._bound_slope, self._bound_shift = norm, float(unwanted @ self._means)


def _spreads(measured: Floats, parts: int) -> tuple[Floats, Floats]:
    """The mean and the spread of each part's similarities to the reference music."""
    if len(measured) == 0:
        return np.zeros(parts), np.ones(parts)
    return measured.mean(axis=0), np.maximum(measured.std(axis=0), SMALLEST_SPREAD)


def _dot(vectors: NDArray[np.floating], direction: Floats) -> Floats:
    """[N, E] times [E]; einsum adds in one order whatever N is, a BLAS product need not."""
    product: Floats = np.einsum("ne,e->n", vectors.astype(np.float64), direction)
    return product
