"""Two rankings become one: reciprocal rank fusion.

    fused(hit) = sum over the rankings that hold it of 1 / (RRF_K + rank)

Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods" (SIGIR 2009), which also gives the constant 60. It needs no common scale: points
for words and similarities of vectors have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RRF_K = 60


@dataclass(frozen=True)
class Fused:
    """A hit by its number with its fused score."""

    hit_id: int
    score: float


def fuse(rankings: Sequence[Sequence[int]], *, k: int = RRF_K) -> list[Fused]:
    """All hits of the rankings (each best first, without repeats), best first.

    Equal scores go by the better of their ranks in the first ranking, then by number.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit_id in enumerate(ranking, start=1):
            scores[hit_id] = scores.get(hit_id, 0.0) + 1.0 / (k + rank)
    first = {hit_id: rank for rank, hit_id in enumerate(rankings[0])} if rankings else {}
    order = sorted(scores, key=lambda hit_id: (-scores[hit_id], first.get(hit_id, 1 << 62), hit_id))
    return [Fused(hit_id, scores[hit_id]) for hit_id in order]
