"""One page of hits: candidates from an index, scores from SQL, order that a cursor can rely on.

Legend: E embedding width, k candidates asked for.

An index proposes; SQL decides. Each candidate is scored again in float64 on the vector that SQL
holds, which drops what was deleted or is not ready, makes a score the same in every process and
on every engine, and lets a page end at an exact (score, id). We ask for more candidates until the
page can no longer change: until what the index left out must score below the page's last hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.search.cursor import Position

FIRST_CANDIDATES = 64
OVERFETCH = 2
GROWTH = 4
SCORE_SLACK = 1e-4
"""How far an index's float32 score may lie from ours; both work on the same float16 vectors."""


class Candidates(Protocol):
    """What an index proposes, best first; fewer than asked for means that there are no more.

    `approximate` says that better ones may have been missed.
    """

    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def approximate(self) -> bool: ...


@dataclass(frozen=True)
class Scored:
    """A vector id with its exact score."""

    vector_id: int
    score: float


@dataclass(frozen=True)
class Page:
    """Hits in order, the rank of the first (from 1), and where the next page starts, if any.

    `best_score` is that of the best hit of all pages; None where there is none.
    """

    hits: list[Scored]
    first_rank: int
    next_position: Position | None
    approximate: bool = False
    best_score: float | None = None


def rank_page(
    propose: Callable[[int], Candidates],
    score: Callable[[Sequence[int]], Mapping[int, float]],
    *,
    limit: int,
    after: Position | None,
    admits: Callable[[float], bool] = lambda _score: True,
    bound: Callable[[float], float] = lambda index_score: index_score,
) -> Page:
    """The `limit` best hits after a position.

    `propose(k)` asks the index; `score(ids)` gives the exact score of those that may be shown.
    A score that `admits` refuses ends the list; it must refuse every lower one too. `bound` is the
    most that a vector with this index score can score; it must not fall where that rises.
    """
    wanted = (after.rank if after else 0) + limit + 1
    k = max(FIRST_CANDIDATES, OVERFETCH * wanted)
    known: dict[int, float] = {}
    asked: set[int] = set()
    while True:
        candidates = propose(k)
        new = [int(vector_id) for vector_id in candidates.ids if int(vector_id) not in asked]
        asked.update(new)
        known.update(score(new))
        hits = _after(known.items(), after)
        exhausted = len(candidates.ids) < k
        if exhausted or _is_settled(hits, bound(float(candidates.scores[-1])), limit):
            page = _cut(hits, limit, after, admits)
            best = max((value for value in known.values() if admits(value)), default=None)
            return replace(page, approximate=candidates.approximate, best_score=best)
        k *= GROWTH


def _after(scores: Iterable[tuple[int, float]], after: Position | None) -> list[Scored]:
    hits = [Scored(vector_id, score) for vector_id, score in scores]
    hits.sort(key=_order)
    if after is None:
        return hits
    start = (-after.score, after.vector_id)
    return [hit for hit in hits if _order(hit) > start]


def _order(hit: Scored) -> tuple[float, int]:
    return (-hit.score, hit.vector_id)


def _is_settled(hits: list[Scored], most: float, limit: int) -> bool:
    """Whether nothing that the index left out can belong on this page or right after it."""
    return len(hits) > limit and most < hits[limit].score - SCORE_SLACK


def _cut(
    hits: list[Scored], limit: int, after: Position | None, admits: Callable[[float], bool]
) -> Page:
    seen = after.rank if after else 0
    page = [hit for hit in hits[:limit] if admits(hit.score)]
    more = len(hits) > limit and admits(hits[limit].score)
    last = Position(page[-1].score, page[-1].vector_id, seen + len(page)) if more else None
    return Page(hits=page, first_rank=seen + 1, next_position=last)
